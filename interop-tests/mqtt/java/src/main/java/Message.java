record Message(String topic, String payload, int qos, boolean retain) {}

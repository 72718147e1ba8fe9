/** A thousand messages of each QoS: all there, once, in order. */
final class every_qos implements Behaviour {
    @Override
    public void run(Broker broker) throws Exception {
        for (int qos = 0; qos <= 2; qos++) {
            var topic = Broker.fresh("qos");
            var subscriber = broker.connect();
            var publisher = broker.connect();
            subscriber.subscribe(topic, qos);
            var sent = Broker.numbered(topic, 1000, qos);
            publisher.publishAll(sent);
            Broker.same(subscriber.take(1000), sent, "QoS " + qos);
            publisher.publish(topic, "end", qos, false);
            Broker.same(subscriber.until("end").size(), 0, "more");
            publisher.disconnect();
            subscriber.disconnect();
        }
    }
}

import java.net.URI;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;

/** A broker and the version to speak with it. */
record Broker(URI url, boolean version5) {
    static String fresh(String name) {
        return name + "-" + UUID.randomUUID().toString().substring(24);
    }

    static void same(Object got, Object wanted, String what) {
        if (!got.equals(wanted)) throw new AssertionError(what + ": got " + got + ", not " + wanted);
    }

    /** "0", "1", ... to one topic. */
    static List<Message> numbered(String topic, int count, int qos) {
        List<Message> messages = new ArrayList<>();
        for (int number = 0; number < count; number++) messages.add(new Message(topic, "" + number, qos, false));
        return messages;
    }

    /** Asks whoever runs this to kill and start the broker; returns once connections are accepted again. */
    static void restart() throws Exception {
        System.out.println("restart");
        same(new String(System.in.readNBytes(10)), "restarted\n", "answer");
    }

    String user() {
        return url.getUserInfo().split(":")[0];
    }

    Device.Options options() {
        return new Device.Options(fresh("device"), true, url.getUserInfo().split(":")[1], null);
    }

    Device device(String clientId) {
        return version5 ? new Version5Device(this, clientId) : new Version3Device(this, clientId);
    }

    /** A clean session of its own. */
    Device connect() {
        Device device = device(options().clientId());
        device.connect(options());
        return device;
    }

    Device.Options lasting(String clientId) {
        return new Device.Options(clientId, false, options().password(), null);
    }

    /** A session that is there already and outlives its connection, for an hour in MQTT 5. */
    Device resume(String clientId) {
        Device device = device(clientId);
        same(device.connect(lasting(clientId)), true, "session present");
        return device;
    }

    void forget(String clientId) {
        Device device = device(clientId);
        device.connect(options());
        device.disconnect();
    }
}

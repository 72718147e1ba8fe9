import com.hivemq.client.mqtt.mqtt5.exceptions.Mqtt5ConnAckException;
import java.util.concurrent.TimeUnit;

/** A client proves by SCRAM-SHA-256 that it knows its password, and again while connected; a wrong one is refused. */
final class scram_login implements Behaviour {
    @Override
    public void run(Broker broker) throws Exception {
        var device = new Version5Device(broker, Broker.fresh("scram"));
        device.connect(new Scram(broker.user(), broker.options().password()));
        String topic = Broker.fresh("scram/topic");
        device.subscribe(topic, 1);
        device.publish(topic, "before", 1, false);
        device.client.reauth().get(Device.WAIT_S, TimeUnit.SECONDS);
        device.publish(topic, "after", 1, false);
        Broker.same(device.next().payload() + " " + device.next().payload(), "before after", "messages");
        device.disconnect();
        try {
            new Version5Device(broker, Broker.fresh("scram")).connect(new Scram(broker.user(), "wrong"));
            throw new AssertionError("not refused");
        } catch (Mqtt5ConnAckException refused) {
            Broker.same(refused.getMqttMessage().getReasonCode().getCode(), 0x86, "reason code");
        }
    }
}

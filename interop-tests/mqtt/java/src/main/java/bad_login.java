import com.hivemq.client.mqtt.mqtt3.exceptions.Mqtt3ConnAckException;
import com.hivemq.client.mqtt.mqtt5.exceptions.Mqtt5ConnAckException;
import java.util.Set;

/** A wrong password is refused with the right code. */
final class bad_login implements Behaviour {
    @Override
    public void run(Broker broker) {
        var wrong = new Device.Options(Broker.fresh("bad"), true, "wrong", null);
        int code;
        try {
            broker.device(wrong.clientId()).connect(wrong);
            throw new AssertionError("not refused");
        } catch (Mqtt5ConnAckException refused) {
            code = refused.getMqttMessage().getReasonCode().getCode();
        } catch (Mqtt3ConnAckException refused) {
            code = refused.getMqttMessage().getReturnCode().getCode();
        }
        Broker.same(Set.of(4, 5, 0x86, 0x87).contains(code), true, "code " + code);
        broker.connect().disconnect();
    }
}

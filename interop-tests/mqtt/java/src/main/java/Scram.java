import com.hivemq.client.mqtt.datatypes.MqttUtf8String;
import com.hivemq.client.mqtt.mqtt5.Mqtt5ClientConfig;
import com.hivemq.client.mqtt.mqtt5.auth.Mqtt5EnhancedAuthMechanism;
import com.hivemq.client.mqtt.mqtt5.message.auth.Mqtt5Auth;
import com.hivemq.client.mqtt.mqtt5.message.auth.Mqtt5AuthBuilder;
import com.hivemq.client.mqtt.mqtt5.message.auth.Mqtt5EnhancedAuth;
import com.hivemq.client.mqtt.mqtt5.message.auth.Mqtt5EnhancedAuthBuilder;
import com.hivemq.client.mqtt.mqtt5.message.connect.Mqtt5Connect;
import com.hivemq.client.mqtt.mqtt5.message.connect.connack.Mqtt5ConnAck;
import com.hivemq.client.mqtt.mqtt5.message.disconnect.Mqtt5Disconnect;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import javax.crypto.Mac;
import javax.crypto.SecretKeyFactory;
import javax.crypto.spec.PBEKeySpec;
import javax.crypto.spec.SecretKeySpec;

/** SCRAM-SHA-256 (RFC 5802) for HiveMQ's client, which has the packets and no mechanism. */
final class Scram implements Mqtt5EnhancedAuthMechanism {
    private final String user;
    private final String password;
    private String bare;
    private String serverProof;

    Scram(String user, String password) {
        this.user = user;
        this.password = password;
    }

    @Override
    public MqttUtf8String getMethod() {
        return MqttUtf8String.of("SCRAM-SHA-256");
    }

    @Override
    public int getTimeout() {
        return Device.WAIT_S;
    }

    private CompletableFuture<Void> begin(Mqtt5EnhancedAuthBuilder packet) {
        bare = "n=" + user + ",r=" + UUID.randomUUID();
        packet.data(("n,," + bare).getBytes(StandardCharsets.UTF_8));
        return CompletableFuture.completedFuture(null);
    }

    private static byte[] hmac(byte[] key, String text) throws Exception {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
    }

    private static String text(Optional<java.nio.ByteBuffer> data) {
        return StandardCharsets.UTF_8.decode(data.orElseThrow()).toString();
    }

    private String answer(String serverFirst) throws Exception {
        String[] fields = serverFirst.split(",");
        byte[] salt = Base64.getDecoder().decode(fields[1].substring(2));
        int iterations = Integer.parseInt(fields[2].substring(2));
        byte[] salted = SecretKeyFactory.getInstance("PBKDF2WithHmacSHA256")
            .generateSecret(new PBEKeySpec(password.toCharArray(), salt, iterations, 256)).getEncoded();
        String withoutProof = "c=biws," + fields[0];
        String spoken = bare + "," + serverFirst + "," + withoutProof;
        byte[] proof = hmac(salted, "Client Key");
        byte[] signature = hmac(MessageDigest.getInstance("SHA-256").digest(proof), spoken);
        for (int index = 0; index < proof.length; index++) proof[index] ^= signature[index];
        serverProof = "v=" + Base64.getEncoder().encodeToString(hmac(hmac(salted, "Server Key"), spoken));
        return withoutProof + ",p=" + Base64.getEncoder().encodeToString(proof);
    }

    private CompletableFuture<Boolean> proved(Mqtt5EnhancedAuth packet) {
        return CompletableFuture.completedFuture(text(packet.getData()).equals(serverProof));
    }

    @Override
    public CompletableFuture<Void> onAuth(
            Mqtt5ClientConfig client, Mqtt5Connect connect, Mqtt5EnhancedAuthBuilder packet) {
        return begin(packet);
    }

    @Override
    public CompletableFuture<Void> onReAuth(Mqtt5ClientConfig client, Mqtt5AuthBuilder packet) {
        return begin(packet);
    }

    @Override
    public CompletableFuture<Boolean> onContinue(Mqtt5ClientConfig client, Mqtt5Auth auth, Mqtt5AuthBuilder packet) {
        try {
            packet.data(answer(text(auth.getData())).getBytes(StandardCharsets.UTF_8));
            return CompletableFuture.completedFuture(true);
        } catch (Exception failed) {
            return CompletableFuture.failedFuture(failed);
        }
    }

    @Override
    public CompletableFuture<Boolean> onAuthSuccess(Mqtt5ClientConfig client, Mqtt5ConnAck connack) {
        return proved(connack.getEnhancedAuth().orElseThrow());
    }

    @Override
    public CompletableFuture<Boolean> onReAuthSuccess(Mqtt5ClientConfig client, Mqtt5Auth auth) {
        return proved(auth);
    }

    @Override
    public void onAuthRejected(Mqtt5ClientConfig client, Mqtt5ConnAck connack) {}

    @Override
    public void onReAuthRejected(Mqtt5ClientConfig client, Mqtt5Disconnect disconnect) {}

    @Override
    public void onAuthError(Mqtt5ClientConfig client, Throwable cause) {}

    @Override
    public void onReAuthError(Mqtt5ClientConfig client, Throwable cause) {}
}

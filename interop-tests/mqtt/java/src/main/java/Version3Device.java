import com.hivemq.client.mqtt.MqttClient;
import com.hivemq.client.mqtt.MqttGlobalPublishFilter;
import com.hivemq.client.mqtt.datatypes.MqttQos;
import com.hivemq.client.mqtt.mqtt3.Mqtt3AsyncClient;
import com.hivemq.client.mqtt.mqtt3.message.publish.Mqtt3Publish;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

final class Version3Device extends Device {
    final Mqtt3AsyncClient client;
    private final Broker broker;

    Version3Device(Broker broker, String clientId) {
        this.broker = broker;
        client = MqttClient.builder().useMqttVersion3().identifier(clientId)
            .serverHost(broker.url().getHost()).serverPort(broker.url().getPort())
            .addDisconnectedListener(context -> ended.add(context.getCause().toString())).buildAsync();
        client.publishes(MqttGlobalPublishFilter.ALL, got -> received.add(new Message(got.getTopic().toString(),
            new String(got.getPayloadAsBytes(), StandardCharsets.UTF_8), got.getQos().getCode(), got.isRetain())));
    }

    private static Mqtt3Publish publish(Message message) {
        return Mqtt3Publish.builder().topic(message.topic()).payload(message.payload().getBytes(StandardCharsets.UTF_8))
            .qos(MqttQos.fromCode(message.qos())).retain(message.retain()).build();
    }

    @Override
    boolean connect(Options options) {
        var connect = client.toBlocking().connectWith().cleanSession(options.clean())
            .simpleAuth().username(broker.user()).password(options.password().getBytes()).applySimpleAuth();
        if (options.will() != null) connect = connect.willPublish(publish(options.will()));
        return connect.send().isSessionPresent();
    }

    @Override
    void subscribe(String filter, int qos) {
        var suback = client.toBlocking().subscribeWith().topicFilter(filter).qos(MqttQos.fromCode(qos)).send();
        Broker.same(suback.getReturnCodes().get(0).getCode(), qos, "granted");
    }

    @Override
    void unsubscribe(String filter) {
        client.toBlocking().unsubscribeWith().topicFilter(filter).send();
    }

    @Override
    void publishAll(List<Message> messages) throws Exception {
        List<CompletableFuture<?>> sent = new ArrayList<>();
        for (Message message : messages) sent.add(client.publish(publish(message)));
        for (CompletableFuture<?> each : sent) each.get(3 * WAIT_S, TimeUnit.SECONDS);
    }

    @Override
    void disconnect() {
        client.toBlocking().disconnect();
    }
}

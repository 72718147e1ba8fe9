import com.hivemq.client.mqtt.MqttClient;
import com.hivemq.client.mqtt.MqttGlobalPublishFilter;
import com.hivemq.client.mqtt.datatypes.MqttQos;
import com.hivemq.client.mqtt.mqtt5.Mqtt5AsyncClient;
import com.hivemq.client.mqtt.mqtt5.message.publish.Mqtt5Publish;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;

final class Version5Device extends Device {
    final Mqtt5AsyncClient client;
    private final Broker broker;

    Version5Device(Broker broker, String clientId) {
        this.broker = broker;
        client = MqttClient.builder().useMqttVersion5().identifier(clientId)
            .serverHost(broker.url().getHost()).serverPort(broker.url().getPort())
            .addDisconnectedListener(context -> ended.add(context.getCause().toString())).buildAsync();
        client.publishes(MqttGlobalPublishFilter.ALL, got -> received.add(new Message(got.getTopic().toString(),
            new String(got.getPayloadAsBytes(), StandardCharsets.UTF_8), got.getQos().getCode(), got.isRetain())));
    }

    private static Mqtt5Publish publish(Message message) {
        return Mqtt5Publish.builder().topic(message.topic()).payload(message.payload().getBytes(StandardCharsets.UTF_8))
            .qos(MqttQos.fromCode(message.qos())).retain(message.retain()).build();
    }

    @Override
    boolean connect(Options options) {
        var connect = client.toBlocking().connectWith().cleanStart(options.clean())
            .sessionExpiryInterval(options.clean() ? 0 : 3600)
            .simpleAuth().username(broker.user()).password(options.password().getBytes()).applySimpleAuth();
        if (options.will() != null) connect = connect.willPublish(publish(options.will()));
        return connect.send().isSessionPresent();
    }

    void connect(Scram mechanism) {
        client.toBlocking().connectWith().enhancedAuth(mechanism).send();
    }

    @Override
    void subscribe(String filter, int qos) {
        var suback = client.toBlocking().subscribeWith().topicFilter(filter).qos(MqttQos.fromCode(qos)).send();
        Broker.same(suback.getReasonCodes().get(0).getCode(), qos, "granted");
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

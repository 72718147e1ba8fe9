import java.util.List;
import java.util.Map;

/** Which topics a filter matches. */
final class wildcards implements Behaviour {
    @Override
    public void run(Broker broker) throws Exception {
        var own = Broker.fresh("w");
        var topics = List.of(own, own + "/", own + "/a/b", own + "/a//b", own + "/x.y/b", own + "/日本/😀");
        var matched = Map.of("/#", topics, "/+", List.of(own + "/"), "/+/b", List.of(own + "/a/b", own + "/x.y/b"),
            "/a/+/b", List.of(own + "/a//b"), "/日本/+", List.of(own + "/日本/😀"));
        var subscriber = broker.connect();
        var publisher = broker.connect();
        subscriber.subscribe("end-" + own, 1);
        for (var filter : matched.keySet()) {
            subscriber.subscribe(own + filter, 1);
            for (var topic : topics) publisher.publish(topic, topic, 1, false);
            publisher.publish("end-" + own, "end", 1, false);
            var got = subscriber.until("end");
            Broker.same(got.stream().map(Message::payload).toList(), matched.get(filter), filter);
            Broker.same(got.stream().map(Message::topic).toList(), matched.get(filter), filter);
            subscriber.unsubscribe(own + filter);
        }
    }
}

/** The last retained message comes at subscribing, flagged; an empty one deletes it. */
final class retained implements Behaviour {
    @Override
    public void run(Broker broker) throws Exception {
        var topic = Broker.fresh("retained");
        var publisher = broker.connect();
        publisher.publish(topic, "old", 1, true);
        publisher.publish(topic, "new", 1, true);
        var subscriber = broker.connect();
        subscriber.subscribe(topic, 2);
        Broker.same(subscriber.next(), new Message(topic, "new", 1, true), "replay");
        publisher.publish(topic, "", 1, true);
        Broker.same(subscriber.next(), new Message(topic, "", 1, false), "deletion");
        var late = broker.connect();
        late.subscribe(topic + "/#", 1);
        publisher.publish(topic, "end", 1, false);
        Broker.same(late.until("end").size(), 0, "after");
    }
}

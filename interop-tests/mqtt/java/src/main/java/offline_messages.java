/** What is published while a session has no connection arrives when it has one again. */
final class offline_messages implements Behaviour {
    @Override
    public void run(Broker broker) throws Exception {
        var topic = Broker.fresh("offline");
        var clientId = Broker.fresh("session");
        var device = broker.device(clientId);
        Broker.same(device.connect(broker.lasting(clientId)), false, "session present");
        device.subscribe(topic, 2);
        device.disconnect();
        var publisher = broker.connect();
        var sent = Broker.numbered(topic, 200, 1);
        publisher.publishAll(sent);
        device = broker.resume(clientId);
        Broker.same(device.take(200), sent, "owed");
        publisher.publish(topic, "end", 1, false);
        Broker.same(device.until("end").size(), 0, "more");
        device.disconnect();
        broker.forget(clientId);
    }
}

/** After the broker was killed and started: what a session is owed, and what is retained. */
final class restart implements Behaviour {
    @Override
    public void run(Broker broker) throws Exception {
        var topic = Broker.fresh("restart");
        var clientId = Broker.fresh("session");
        var device = broker.device(clientId);
        device.connect(broker.lasting(clientId));
        device.subscribe(topic + "/+", 1);
        device.disconnect();
        var publisher = broker.connect();
        var sent = Broker.numbered(topic + "/x", 20, 1);
        publisher.publishAll(sent);
        publisher.publish(topic, "kept", 1, true);
        Broker.restart();
        publisher.waitEnded();
        device = broker.resume(clientId);
        Broker.same(device.take(20), sent, "owed");
        device.subscribe(topic, 1);
        Broker.same(device.next(), new Message(topic, "kept", 1, true), "kept");
        device.publish(topic, "", 1, true);
        device.publish(topic + "/x", "end", 1, false);
        Broker.same(device.until("end").size(), 1, "only the deletion");
        device.disconnect();
        broker.forget(clientId);
    }
}

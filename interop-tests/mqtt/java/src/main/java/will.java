/** The will of one who is taken over is sent, and of one who disconnects, not. */
final class will implements Behaviour {
    @Override
    public void run(Broker broker) throws Exception {
        var topic = Broker.fresh("will");
        var clientId = Broker.fresh("lost");
        var watcher = broker.connect();
        watcher.subscribe(topic, 2);
        for (var payload : new String[] {"never", "lost"}) {
            var device = broker.device(clientId);
            var said = new Message(topic, payload, 2, true);
            device.connect(new Device.Options(clientId, true, broker.options().password(), said));
            if (payload.equals("never")) device.disconnect();
        }
        broker.forget(clientId);
        Broker.same(watcher.next(), new Message(topic, "lost", 2, false), "will");
        var late = broker.connect();
        late.subscribe(topic, 1);
        Broker.same(late.next(), new Message(topic, "lost", 1, true), "kept");
        late.publish(topic, "", 1, true);
    }
}

/** {@code Run LEVEL BEHAVIOUR URL}: one behaviour, shown by HiveMQ's client in MQTT 3.1.1 (level 4) or 5. */
public final class Run {
    public static void main(String[] arguments) throws Exception {
        Broker broker = new Broker(java.net.URI.create(arguments[2]), arguments[0].equals("5"));
        ((Behaviour) Class.forName(arguments[1]).getDeclaredConstructor().newInstance()).run(broker);
        System.out.println("shown");
        System.exit(0); // the client's threads are not waited for
    }
}

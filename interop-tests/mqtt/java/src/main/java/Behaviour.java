/** What a client must be served; it throws where the broker does otherwise. */
interface Behaviour {
    void run(Broker broker) throws Exception;
}

import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;

/** One client's end of one connection, as blocking calls. */
abstract class Device {
    static final int WAIT_S = 10;
    final LinkedBlockingQueue<Message> received = new LinkedBlockingQueue<>();
    final LinkedBlockingQueue<String> ended = new LinkedBlockingQueue<>();

    /** Is the session there?  Throws where the broker refuses. */
    abstract boolean connect(Options options);

    abstract void subscribe(String filter, int qos);

    abstract void unsubscribe(String filter);

    /** Returns once all are acknowledged. */
    abstract void publishAll(List<Message> messages) throws Exception;

    abstract void disconnect();

    void publish(String topic, String payload, int qos, boolean retain) throws Exception {
        publishAll(List.of(new Message(topic, payload, qos, retain)));
    }

    Message next() throws Exception {
        return Objects.requireNonNull(received.poll(WAIT_S, TimeUnit.SECONDS), "no message");
    }

    List<Message> take(int count) throws Exception {
        List<Message> got = new ArrayList<>();
        while (got.size() < count) got.add(next());
        return got;
    }

    /** What comes before the marker. */
    List<Message> until(String marker) throws Exception {
        List<Message> got = new ArrayList<>();
        for (Message message; !(message = next()).payload().equals(marker); ) got.add(message);
        return got;
    }

    String waitEnded() throws Exception {
        return Objects.requireNonNull(ended.poll(WAIT_S, TimeUnit.SECONDS), "still connected");
    }

    /** How a client connects. */
    record Options(String clientId, boolean clean, String password, Message will) {}
}

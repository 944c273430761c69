import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.HashMap;
import java.util.Map;
import org.apache.activemq.transport.stomp.StompConnection;
import org.apache.activemq.transport.stomp.StompFrame;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What ActiveMQ's own STOMP connection must see of Baton, with each version. */
class StompTest {
  @ParameterizedTest
  @ValueSource(strings = {"1.0", "1.1", "1.2"})
  void aTransactionAndAnAcknowledgement(String version) throws Exception {
    String queue = "/queue/activemq-" + version;
    StompConnection connection = new StompConnection();
    connection.open("127.0.0.1", Broker.port("stomp"));
    connection.setVersion(version);
    Map<String, String> login = new HashMap<>(Map.of("login", "guest", "passcode", "guest"));
    if (!version.equals("1.0")) login.putAll(Map.of("accept-version", version, "host", "localhost"));
    connection.connect(new HashMap<>(login));
    connection.subscribe(queue, version.equals("1.0") ? "client" : "client-individual", new HashMap<>(Map.of("id", "7")));
    connection.begin("t");
    connection.send(queue, "one pizza: large", "t", null);
    connection.commit("t");
    StompFrame message = connection.receive(20_000);
    assertEquals("one pizza: large", message.getBody());
    connection.ack(message);
    connection.disconnect();
  }
}

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.GetResponse;
import com.rabbitmq.client.MessageProperties;
import com.rabbitmq.client.RpcClient;
import com.rabbitmq.client.RpcClientParams;
import com.rabbitmq.client.RpcServer;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/**
 * What amqp-client, RabbitMQ's own Java client (below Spring AMQP), must see of Baton over AMQP 0-9-1: the smoke path and
 * the errors its users match on. The server comes from BATON_BIN (started here) or AMQP_URL (running already).
 */
class ConformanceTest {
  static final long PATIENCE_MS = 20_000;
  static Path home;
  static Process baton;
  static String amqp = "127.0.0.1:0";
  static String http = "127.0.0.1:0";

  Connection connection;
  Channel channel;

  @BeforeAll
  static void startServer() throws Exception {
    if (System.getenv("AMQP_URL") != null) return;
    assertTrue(System.getenv("BATON_BIN") != null, "set BATON_BIN to a baton binary, or AMQP_URL to a running server");
    home = Files.createTempDirectory("baton-conformance-");
    start();
  }

  /** Runs BATON_BIN on its data directory, with the ports it had before, if any. */
  static void start() throws Exception {
    Path ready = home.resolve("ready.json");
    Files.deleteIfExists(ready);
    baton = new ProcessBuilder(System.getenv("BATON_BIN"), "serve", "--amqp-listen", amqp, "--http-listen", http,
        "--data-dir", home.resolve("data").toString(), "--ready-file", ready.toString())
        .redirectErrorStream(true).redirectOutput(ProcessBuilder.Redirect.appendTo(home.resolve("baton.log").toFile())).start();
    Pattern endpoint = Pattern.compile("\"amqp\"\\s*:\\s*\"([^\"]+)\".*\\}", Pattern.DOTALL);
    for (long deadline = System.currentTimeMillis() + PATIENCE_MS; ; Thread.sleep(20)) {
      Matcher found = endpoint.matcher(Files.exists(ready) ? Files.readString(ready) : "");
      if (found.find()) {
        amqp = found.group(1);
        return;
      }
      assertTrue(baton.isAlive() && System.currentTimeMillis() < deadline, () -> "baton did not start, see " + home);
    }
  }

  @AfterAll
  static void stopServer() throws Exception {
    if (baton == null) return;
    baton.destroyForcibly().waitFor();
    try (var files = Files.walk(home)) {
      files.sorted((a, b) -> b.compareTo(a)).forEach(path -> path.toFile().delete());
    }
  }

  static ConnectionFactory factory() throws Exception {
    ConnectionFactory factory = new ConnectionFactory();
    String url = System.getenv("AMQP_URL");
    factory.setUri(url != null ? url.replaceAll("/$", "") : "amqp://guest:guest@" + amqp);
    return factory;
  }

  @BeforeEach
  void open() throws Exception {
    connection = factory().newConnection();
    channel = connection.createChannel();
    channel.confirmSelect();
  }

  @AfterEach
  void close() throws Exception {
    if (connection.isOpen()) connection.close();
  }

  String temporary(Map<String, Object> arguments) throws IOException {
    return channel.queueDeclare("", false, true, false, arguments).getQueue();
  }

  void send(String queue, String... bodies) throws Exception {
    for (String body : bodies) channel.basicPublish("", queue, MessageProperties.PERSISTENT_BASIC, body.getBytes());
    channel.waitForConfirmsOrDie(PATIENCE_MS);
  }

  List<String> drain(String queue) throws IOException {
    List<String> found = new ArrayList<>();
    for (GetResponse message; (message = channel.basicGet(queue, true)) != null; ) found.add(new String(message.getBody()));
    return found;
  }

  GetResponse get(String queue) throws Exception {
    for (long deadline = System.currentTimeMillis() + PATIENCE_MS; ; Thread.sleep(20)) {
      GetResponse message = channel.basicGet(queue, true);
      if (message != null) return message;
      assertTrue(System.currentTimeMillis() < deadline, "no message in " + queue);
    }
  }

  @Test
  void aBadPasswordIsRefused() throws Exception {
    ConnectionFactory factory = factory();
    factory.setPassword("wrong");
    assertThrows(AuthenticationFailureException.class, factory::newConnection);
  }

  @Test
  void anUnknownQueueClosesOnlyItsChannelWith404() throws Exception {
    Channel other = connection.createChannel();
    IOException failed = assertThrows(IOException.class, () -> other.queueDeclarePassive("nope"));
    var reason = (com.rabbitmq.client.AMQP.Channel.Close) ((ShutdownSignalException) failed.getCause()).getReason();
    assertEquals(404, reason.getReplyCode());
    assertEquals("NOT_FOUND - no queue 'nope' in vhost '/'", reason.getReplyText());
    temporary(null);
  }

  @Test
  void confirmsAndOrder() throws Exception {
    String queue = temporary(null);
    List<String> bodies = new ArrayList<>();
    for (int number = 0; number < 500; number++) bodies.add("" + number);
    send(queue, bodies.toArray(String[]::new));
    assertEquals(bodies, drain(queue));
  }

  @Test
  void mandatoryIsReturnedBeforeItsConfirm() throws Exception {
    BlockingQueue<String> events = new LinkedBlockingQueue<>();
    channel.addReturnListener(returned -> events.add("return " + returned.getReplyCode()));
    channel.addConfirmListener((tag, multiple) -> events.add("ack " + tag), (tag, multiple) -> events.add("nack " + tag));
    channel.basicPublish("", "conf.nowhere", true, null, new byte[0]);
    assertEquals("return 312", events.poll(PATIENCE_MS, TimeUnit.MILLISECONDS));
    assertEquals("ack 1", events.poll(PATIENCE_MS, TimeUnit.MILLISECONDS));
  }

  @Test
  void rejectPublishIsNacked() throws Exception {
    String queue = temporary(Map.of("x-max-length", 1, "x-overflow", "reject-publish"));
    send(queue, "in");
    channel.basicPublish("", queue, null, "out".getBytes());
    assertFalse(channel.waitForConfirms(PATIENCE_MS));
  }

  @Test
  void nackRequeuesInPlaceAndMarksRedelivered() throws Exception {
    String queue = temporary(null);
    send(queue, "1", "2");
    channel.basicNack(channel.basicGet(queue, false).getEnvelope().getDeliveryTag(), false, true);
    GetResponse again = get(queue);
    assertEquals("1", new String(again.getBody()));
    assertTrue(again.getEnvelope().isRedeliver());
  }

  @Test
  void prefetchHoldsBackUntilAnAck() throws Exception {
    String queue = temporary(null);
    send(queue, "1", "2", "3");
    Channel consuming = connection.createChannel();
    consuming.basicQos(2);
    BlockingQueue<Long> tags = new LinkedBlockingQueue<>();
    consuming.basicConsume(queue, false, (tag, message) -> tags.add(message.getEnvelope().getDeliveryTag()), tag -> {});
    assertEquals(1L, tags.poll(PATIENCE_MS, TimeUnit.MILLISECONDS));
    assertEquals(2L, tags.poll(PATIENCE_MS, TimeUnit.MILLISECONDS));
    assertEquals(1, channel.messageCount(queue));
    consuming.basicAck(2, true);
    assertEquals(3L, tags.poll(PATIENCE_MS, TimeUnit.MILLISECONDS));
  }

  @Test
  void headersAndBodiesComeBack() throws Exception {
    String queue = temporary(null);
    Map<String, Object> headers = Map.of("int", 5, "long", 1L << 40, "bool", true, "double", 2.25, "float", 1.5f, "short", (short) -3,
        "byte", (byte) -1, "list", List.of(1, 2), "table", Map.of("k", 1));
    byte[] body = new byte[1_000_003];
    channel.basicPublish("", queue, new BasicProperties.Builder().headers(headers).priority(3).build(), body);
    channel.waitForConfirmsOrDie(PATIENCE_MS);
    GetResponse message = get(queue);
    assertEquals(headers, message.getProps().getHeaders());
    assertArrayEquals(body, message.getBody());
  }

  @Test
  void aRejectedMessageIsDeadLettered() throws Exception {
    String dead = temporary(null);
    String queue = temporary(Map.of("x-dead-letter-exchange", "", "x-dead-letter-routing-key", dead));
    send(queue, "x");
    channel.basicReject(channel.basicGet(queue, false).getEnvelope().getDeliveryTag(), false);
    Map<?, ?> death = (Map<?, ?>) ((List<?>) get(dead).getProps().getHeaders().get("x-death")).get(0);
    assertEquals("rejected", death.get("reason").toString());
    assertEquals(queue, death.get("queue").toString());
    assertEquals(1L, death.get("count"));
  }

  @Test
  void transactionsCommitAndRollBack() throws Exception {
    String queue = temporary(null);
    Channel tx = connection.createChannel();
    tx.txSelect();
    tx.basicPublish("", queue, null, "no".getBytes());
    tx.txRollback();
    tx.basicPublish("", queue, null, "yes".getBytes());
    tx.txCommit();
    assertEquals(List.of("yes"), drain(queue));
  }

  @Test
  void rpcClientAndServerByDirectReplyTo() throws Exception {
    String queue = temporary(null);
    RpcServer server = new RpcServer(connection.createChannel(), queue) {
      @Override
      public byte[] handleCall(byte[] request, BasicProperties replyProperties) {
        return new StringBuilder(new String(request)).reverse().toString().getBytes();
      }
    };
    Thread serving = new Thread(() -> {
      try {
        server.mainloop();
      } catch (Exception ended) { // the connection closes with the test
      }
    });
    serving.setDaemon(true);
    serving.start();
    RpcClient client = new RpcClient(new RpcClientParams().channel(connection.createChannel()).exchange("").routingKey(queue).timeout(10_000));
    assertEquals("cba", client.stringCall("abc"));
    client.close();
  }

  @Test
  void confirmedMessagesSurviveASigkillAndTheClientRecovers() throws Exception {
    assumeTrue(baton != null, "needs a broker of our own");
    ConnectionFactory factory = factory();
    factory.setNetworkRecoveryInterval(200);
    try (Connection robust = factory.newConnection()) {
      BlockingQueue<String> got = new LinkedBlockingQueue<>();
      Channel consuming = robust.createChannel();
      consuming.queueDeclare("kept", true, false, false, null);
      consuming.queueDeclare("watched", true, false, false, null);
      consuming.basicConsume("watched", true, (tag, message) -> got.add(new String(message.getBody())), tag -> {});
      send("kept", "x");
      baton.destroyForcibly().waitFor();
      start();
      open();
      assertEquals(List.of("x"), drain("kept"));
      send("watched", "y");
      assertEquals("y", got.poll(PATIENCE_MS, TimeUnit.MILLISECONDS)); // its consumer came back by itself
    }
  }
}

import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** One broker for all tests that do not kill it: BATON_BIN on free ports and an empty directory, until the tests are over. */
final class Broker {
  private static final long PATIENCE_MS = 20_000;
  private static String ready;

  private Broker() {}

  /** The port of a protocol, as the ready file names it: amqp, http, redis, stomp. */
  static synchronized int port(String protocol) {
    try {
      if (ready == null) ready = start();
    } catch (Exception e) {
      throw new IllegalStateException("the broker does not start", e);
    }
    Matcher found = Pattern.compile("\"" + protocol + "\"\\s*:\\s*\"[^\"]*:(\\d+)\"").matcher(ready);
    assertTrue(found.find(), ready);
    return Integer.parseInt(found.group(1));
  }

  private static String start() throws Exception {
    String binary = System.getenv("BATON_BIN");
    assertTrue(binary != null, "set BATON_BIN to a baton binary");
    Path home = Files.createTempDirectory("baton-conformance-");
    Path file = home.resolve("ready.json");
    String anywhere = "127.0.0.1:0";
    Process process = new ProcessBuilder(binary, "serve", "--amqp-listen", anywhere, "--http-listen", anywhere, "--redis-listen", anywhere,
        "--stomp-listen", anywhere, "--data-dir", home.resolve("data").toString(), "--ready-file", file.toString())
        .redirectErrorStream(true).redirectOutput(home.resolve("baton.log").toFile()).start();
    Runtime.getRuntime().addShutdownHook(new Thread(() -> end(process, home)));
    long deadline = System.currentTimeMillis() + PATIENCE_MS;
    while (System.currentTimeMillis() < deadline && process.isAlive()) {
      if (Files.exists(file) && Files.readString(file).contains("}")) return Files.readString(file);
      Thread.sleep(20);
    }
    throw new IllegalStateException("no ready file: " + Files.readString(home.resolve("baton.log")));
  }

  private static void end(Process process, Path home) {
    try {
      process.destroyForcibly().waitFor();
      try (var files = Files.walk(home)) {
        files.sorted(java.util.Comparator.reverseOrder()).forEach(path -> path.toFile().delete());
      }
    } catch (Exception e) {
      e.printStackTrace();
    }
  }
}

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import io.lettuce.core.ClientOptions;
import io.lettuce.core.LettuceFutures;
import io.lettuce.core.RedisClient;
import io.lettuce.core.RedisFuture;
import io.lettuce.core.protocol.ProtocolVersion;
import io.lettuce.core.pubsub.RedisPubSubAdapter;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import redis.clients.jedis.DefaultJedisClientConfig;
import redis.clients.jedis.HostAndPort;
import redis.clients.jedis.JedisPooled;
import redis.clients.jedis.JedisPubSub;
import redis.clients.jedis.RedisProtocol;
import redis.clients.jedis.Response;
import redis.clients.jedis.args.ListDirection;
import redis.clients.jedis.exceptions.JedisDataException;

/** What Jedis and Lettuce must see of Baton's lists and channels, with RESP2 and RESP3. */
class RedisTest {
  static JedisPooled jedis(RedisProtocol protocol) {
    var config = DefaultJedisClientConfig.builder().protocol(protocol).clientName("conformance").build();
    return new JedisPooled(new HostAndPort("127.0.0.1", Broker.port("redis")), config);
  }

  @ParameterizedTest
  @EnumSource
  void jedisListsPipelinesAndTransactions(RedisProtocol protocol) {
    String list = "jedis-" + protocol;
    String other = "jedis-moved-" + protocol;
    try (var jedis = jedis(protocol)) {
      assertEquals(3, jedis.lpush(list, "1", "2", "3"));
      assertEquals("1", jedis.brpop(1.0, list).getValue());
      assertNull(jedis.blpop(0.05, "none"));
      assertEquals("3", jedis.blmove(list, other, ListDirection.LEFT, ListDirection.RIGHT, 1));
      assertEquals(List.of("2"), jedis.lmpop(ListDirection.LEFT, "none", list).getValue());
      List<Response<Long>> lengths = new ArrayList<>();
      try (var pipeline = jedis.pipelined()) {
        for (int number = 0; number < 500; number++) lengths.add(pipeline.rpush(list, String.valueOf(number)));
      }
      assertEquals(500, lengths.get(499).get());
      try (var transaction = jedis.multi()) {
        transaction.lpush(other, "x");
        transaction.lrange(other, 0, -1);
        assertEquals(List.of(2L, List.of("x", "3")), transaction.exec());
      }
      var refused = assertThrows(JedisDataException.class, () -> jedis.set("key", "value"));
      assertTrue(refused.getMessage().endsWith("not strings; see docs/features/redis.md"), refused.getMessage());
    }
  }

  @ParameterizedTest
  @EnumSource
  void jedisHearsAChannel(RedisProtocol protocol) {
    BlockingQueue<String> heard = new LinkedBlockingQueue<>();
    try (var jedis = jedis(protocol)) {
      jedis.subscribe(new JedisPubSub() {
        @Override
        public void onSubscribe(String channel, int count) {
          new Thread(() -> jedis.publish(channel, "goal")).start();
        }

        @Override
        public void onMessage(String channel, String message) {
          heard.add(message);
          unsubscribe();
        }
      }, "jedis-news-" + protocol);
    }
    assertEquals("goal", heard.poll());
  }

  @ParameterizedTest
  @EnumSource
  void lettuceListsPipelinesAndChannels(ProtocolVersion protocol) throws Exception {
    String list = "lettuce-" + protocol;
    RedisClient client = RedisClient.create("redis://127.0.0.1:" + Broker.port("redis") + "/1?clientName=conformance");
    client.setOptions(ClientOptions.builder().protocolVersion(protocol).build());
    try (var connection = client.connect(); var listening = client.connectPubSub()) {
      var sync = connection.sync();
      assertEquals(2, sync.lpush(list, "1", "2"));
      assertEquals("1", sync.brpop(1, list).getValue());
      assertEquals("2", sync.lpop(list));
      List<RedisFuture<Long>> pushed = new ArrayList<>();
      for (int number = 0; number < 1000; number++) pushed.add(connection.async().rpush(list, String.valueOf(number)));
      assertTrue(LettuceFutures.awaitAll(20, TimeUnit.SECONDS, pushed.toArray(new RedisFuture<?>[0])));
      assertEquals(1000, pushed.get(999).get());
      sync.multi();
      sync.lpop(list);
      sync.llen(list);
      assertEquals(List.of("0", 999L), sync.exec().stream().toList());

      BlockingQueue<String> heard = new LinkedBlockingQueue<>();
      listening.addListener(new RedisPubSubAdapter<String, String>() {
        @Override
        public void message(String channel, String message) {
          heard.add(message);
        }

        @Override
        public void message(String pattern, String channel, String message) {
          heard.add(pattern + " " + message);
        }
      });
      listening.sync().subscribe(list + ".news");
      listening.sync().psubscribe(list + ".*");
      assertEquals(2, sync.publish(list + ".news", "goal"));
      assertEquals("goal", heard.poll(20, TimeUnit.SECONDS));
      assertEquals(list + ".* goal", heard.poll(20, TimeUnit.SECONDS));
    } finally {
      client.shutdown(0, 1, TimeUnit.SECONDS);
    }
  }
}

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Type;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.springframework.amqp.core.BindingBuilder;
import org.springframework.amqp.core.Queue;
import org.springframework.amqp.core.QueueBuilder;
import org.springframework.amqp.core.TopicExchange;
import org.springframework.amqp.rabbit.connection.CachingConnectionFactory;
import org.springframework.amqp.rabbit.connection.CorrelationData;
import org.springframework.amqp.rabbit.core.RabbitAdmin;
import org.springframework.amqp.rabbit.core.RabbitTemplate;
import org.springframework.amqp.rabbit.listener.SimpleMessageListenerContainer;
import org.springframework.amqp.rabbit.listener.adapter.MessageListenerAdapter;
import org.springframework.messaging.converter.StringMessageConverter;
import org.springframework.messaging.simp.stomp.ReactorNettyTcpStompClient;
import org.springframework.messaging.simp.stomp.StompFrameHandler;
import org.springframework.messaging.simp.stomp.StompHeaders;
import org.springframework.messaging.simp.stomp.StompSessionHandlerAdapter;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;

/** What Spring AMQP and Spring's STOMP client must see of Baton. */
class SpringTest {
  static final long PATIENCE_S = 20;

  /** Answers in capitals; refuses one word, which is dead-lettered. */
  public static class Shouting {
    public String handleMessage(String text) {
      if (text.equals("bad")) throw new IllegalArgumentException(text);
      return text.toUpperCase();
    }
  }

  @Test
  void declareSendAnswerAndDeadLetter() throws Exception {
    CachingConnectionFactory factory = new CachingConnectionFactory("127.0.0.1", Broker.port("amqp"));
    factory.setPublisherConfirmType(CachingConnectionFactory.ConfirmType.CORRELATED);
    factory.setPublisherReturns(true);
    RabbitAdmin admin = new RabbitAdmin(factory);
    Queue queue = QueueBuilder.durable("spring").quorum().deadLetterExchange("").deadLetterRoutingKey("spring.dead").build();
    TopicExchange exchange = new TopicExchange("spring.topic");
    admin.declareQueue(queue);
    admin.declareQueue(new Queue("spring.dead"));
    admin.declareExchange(exchange);
    admin.declareBinding(BindingBuilder.bind(queue).to(exchange).with("a.#"));
    assertNotNull(admin.getQueueInfo("spring"));
    assertNull(admin.getQueueInfo("spring.none"));

    RabbitTemplate template = new RabbitTemplate(factory);
    template.setMandatory(true);
    template.setReplyTimeout(TimeUnit.SECONDS.toMillis(PATIENCE_S));
    CorrelationData lost = new CorrelationData("lost");
    template.convertAndSend("", "spring.nowhere", "x", lost);
    assertTrue(lost.getFuture().get(PATIENCE_S, TimeUnit.SECONDS).isAck());
    assertEquals("NO_ROUTE", lost.getReturned().getReplyText());

    SimpleMessageListenerContainer container = new SimpleMessageListenerContainer(factory);
    container.setQueueNames("spring");
    container.setConcurrentConsumers(2);
    container.setDefaultRequeueRejected(false);
    container.setMessageListener(new MessageListenerAdapter(new Shouting()));
    container.start();
    assertEquals("PING", template.convertSendAndReceive("spring.topic", "a.b", "ping"));
    template.convertAndSend("spring.topic", "a", "bad");
    assertEquals("bad", template.receiveAndConvert("spring.dead", TimeUnit.SECONDS.toMillis(PATIENCE_S)));
    container.stop();
    assertTrue(admin.deleteQueue("spring"));
    factory.destroy();
  }

  @Test
  void aStompSessionWithReceipts() throws Exception {
    ThreadPoolTaskScheduler scheduler = new ThreadPoolTaskScheduler();
    scheduler.afterPropertiesSet();
    ReactorNettyTcpStompClient client = new ReactorNettyTcpStompClient("127.0.0.1", Broker.port("stomp"));
    client.setMessageConverter(new StringMessageConverter());
    client.setTaskScheduler(scheduler);
    StompHeaders login = new StompHeaders();
    login.setLogin("guest");
    login.setPasscode("guest");
    var session = client.connectAsync(login, new StompSessionHandlerAdapter() {}).get(PATIENCE_S, TimeUnit.SECONDS);
    session.setAutoReceipt(true);
    BlockingQueue<String> got = new LinkedBlockingQueue<>();
    CountDownLatch subscribed = new CountDownLatch(1);
    session.subscribe("/topic/spring", new StompFrameHandler() {
      @Override
      public Type getPayloadType(StompHeaders headers) {
        return String.class;
      }

      @Override
      public void handleFrame(StompHeaders headers, Object payload) {
        got.add(headers.getMessageId().substring(0, 3) + " " + payload);
      }
    }).addReceiptTask(subscribed::countDown);
    assertTrue(subscribed.await(PATIENCE_S, TimeUnit.SECONDS));
    session.send("/topic/spring", "one pizza");
    assertEquals("ID: one pizza", got.poll(PATIENCE_S, TimeUnit.SECONDS));
    session.disconnect();
    client.shutdown();
    scheduler.shutdown();
  }
}

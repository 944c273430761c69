import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.net.URI;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.sqs.SqsAsyncClient;
import software.amazon.awssdk.services.sqs.SqsClient;
import software.amazon.awssdk.services.sqs.model.MessageAttributeValue;
import software.amazon.awssdk.services.sqs.model.QueueAttributeName;
import software.amazon.awssdk.services.sqs.model.QueueDoesNotExistException;
import software.amazon.awssdk.services.sqs.model.ReceiptHandleIsInvalidException;
import software.amazon.awssdk.services.sqs.model.SendMessageResponse;

/** What the AWS SDK for Java 2 must see of Baton: the plain client, and the one that batches by itself. */
class SqsTest {
  static final StaticCredentialsProvider KEYS = StaticCredentialsProvider.create(AwsBasicCredentials.create("any", "any"));

  static URI endpoint() {
    return URI.create("http://127.0.0.1:" + Broker.port("http"));
  }

  static SqsClient client() {
    return SqsClient.builder().endpointOverride(endpoint()).region(Region.US_EAST_1).credentialsProvider(KEYS).build();
  }

  @Test
  void sendReceiveDelete() {
    try (var client = client()) {
      String url = client.createQueue(request -> request.queueName("sdk-orders")).queueUrl();
      var bytes = MessageAttributeValue.builder().dataType("Binary").binaryValue(SdkBytes.fromByteArray(new byte[] {0, -1})).build();
      // The SDK compares the MD5 sums of body and attributes with its own.
      client.sendMessage(request -> request.queueUrl(url).messageBody("one pizza <ü>").messageAttributes(Map.of("bytes", bytes)));
      var got = client.receiveMessage(request -> request.queueUrl(url).waitTimeSeconds(5).messageAttributeNames("All")
          .messageSystemAttributeNamesWithStrings("All")).messages().get(0);
      assertEquals("one pizza <ü>", got.body());
      assertEquals(bytes, got.messageAttributes().get("bytes"));
      assertEquals("1", got.attributesAsStrings().get("ApproximateReceiveCount"));
      client.changeMessageVisibility(request -> request.queueUrl(url).receiptHandle(got.receiptHandle()).visibilityTimeout(60));
      client.deleteMessage(request -> request.queueUrl(url).receiptHandle(got.receiptHandle()));
      var counts = client.getQueueAttributes(request -> request.queueUrl(url).attributeNamesWithStrings("ApproximateNumberOfMessages",
          "ApproximateNumberOfMessagesNotVisible")).attributes();
      assertEquals(List.of("0", "0"), List.of(counts.get(QueueAttributeName.APPROXIMATE_NUMBER_OF_MESSAGES),
          counts.get(QueueAttributeName.APPROXIMATE_NUMBER_OF_MESSAGES_NOT_VISIBLE)));
    }
  }

  @Test
  void errorsAreTheirTypes() {
    try (var client = client()) {
      String url = client.createQueue(request -> request.queueName("sdk-errors")).queueUrl();
      assertThrows(QueueDoesNotExistException.class, () -> client.getQueueUrl(request -> request.queueName("nope")));
      assertThrows(ReceiptHandleIsInvalidException.class,
          () -> client.deleteMessage(request -> request.queueUrl(url).receiptHandle("nonsense")));
    }
  }

  @Test
  void theBatchManagerSendsAndReceivesEverythingOnce() {
    try (var client = SqsAsyncClient.builder().endpointOverride(endpoint()).region(Region.US_EAST_1).credentialsProvider(KEYS).build();
        var batches = client.batchManager()) {
      String url = client.createQueue(request -> request.queueName("sdk-batches")).join().queueUrl();
      List<CompletableFuture<SendMessageResponse>> sent = new ArrayList<>();
      Set<String> want = new HashSet<>();
      for (int number = 0; number < 25; number++) {
        String body = String.valueOf(number);
        want.add(body);
        sent.add(batches.sendMessage(request -> request.queueUrl(url).messageBody(body)));
      }
      sent.forEach(CompletableFuture::join);
      List<String> got = new ArrayList<>();
      List<CompletableFuture<?>> deleted = new ArrayList<>();
      for (int attempt = 0; attempt < 50 && got.size() < want.size(); attempt++) {
        for (var message : batches.receiveMessage(request -> request.queueUrl(url).waitTimeSeconds(1)).join().messages()) {
          got.add(message.body());
          deleted.add(batches.deleteMessage(request -> request.queueUrl(url).receiptHandle(message.receiptHandle())));
        }
      }
      deleted.forEach(CompletableFuture::join);
      assertEquals(want.size(), got.size());
      assertEquals(want, new HashSet<>(got));
    }
  }
}

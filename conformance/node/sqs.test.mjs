// Amazon SQS with version 3 of AWS's SDK for JavaScript, and with sqs-consumer.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import {
  ChangeMessageVisibilityCommand, CreateQueueCommand, DeleteMessageBatchCommand, DeleteMessageCommand,
  GetQueueAttributesCommand, GetQueueUrlCommand, ListQueuesCommand, PurgeQueueCommand, QueueDoesNotExist,
  ReceiveMessageCommand, SendMessageBatchCommand, SendMessageCommand, SQSClient, paginateListQueues,
} from "@aws-sdk/client-sqs";
import { Consumer } from "sqs-consumer";

import { startServer, waitUntil } from "./server.mjs";

const skip = process.env.BATON_BIN ? false : "SQS is not part of a RabbitMQ that is tested by AMQP";

let server;
let sqs;
before(async () => {
  if (skip) return;
  server = await startServer();
  const credentials = { accessKeyId: "any", secretAccessKey: "key" };
  sqs = new SQSClient({ endpoint: server.http, region: "us-east-1", credentials });
});
after(async () => {
  sqs?.destroy();
  await server?.close();
});

async function makeQueue(name = randomUUID(), Attributes = {}) {
  const { QueueUrl } = await sqs.send(new CreateQueueCommand({ QueueName: name, Attributes }));
  return QueueUrl;
}

const receive = (QueueUrl, options = {}) =>
  sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 1, MaxNumberOfMessages: 10, ...options }))
    .then(({ Messages }) => Messages ?? []);

test("a message goes the whole way, its checksums looked at by the SDK", { skip }, async () => {
  const QueueUrl = await makeQueue();
  const MessageAttributes = {
    kind: { DataType: "String", StringValue: "pizza" },
    count: { DataType: "Number", StringValue: "3" },
    raw: { DataType: "Binary", BinaryValue: new Uint8Array([1, 2, 255]) },
  };
  const { MessageId } = await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody: "grüße", MessageAttributes }));
  const [message] = await receive(QueueUrl, {
    MessageAttributeNames: ["All"], MessageSystemAttributeNames: ["All"],
  });
  assert.equal(message.MessageId, MessageId);
  assert.equal(message.Body, "grüße");
  assert.equal(message.MessageAttributes.count.StringValue, "3");
  assert.deepEqual([...message.MessageAttributes.raw.BinaryValue], [1, 2, 255]);
  assert.equal(message.Attributes.ApproximateReceiveCount, "1");
  await sqs.send(new DeleteMessageCommand({ QueueUrl, ReceiptHandle: message.ReceiptHandle }));
  const { Attributes } = await sqs.send(new GetQueueAttributesCommand({ QueueUrl, AttributeNames: ["All"] }));
  assert.equal(Attributes.ApproximateNumberOfMessages, "0");
  assert.equal(Attributes.ApproximateNumberOfMessagesNotVisible, "0");
});

test("batches answer for each entry", { skip }, async () => {
  const QueueUrl = await makeQueue();
  const Entries = Array.from({ length: 10 }, (_, n) => ({ Id: `e${n}`, MessageBody: `body ${n}` }));
  const sent = await sqs.send(new SendMessageBatchCommand({ QueueUrl, Entries }));
  assert.equal(sent.Successful.length, 10);
  const messages = [];
  await waitUntil(async () => messages.push(...await receive(QueueUrl)) && messages.length >= 10, "ten messages");
  assert.deepEqual(messages.map((message) => message.Body).sort(), Entries.map((entry) => entry.MessageBody));
  const deleted = await sqs.send(new DeleteMessageBatchCommand({
    QueueUrl,
    Entries: [
      ...messages.slice(0, 9).map(({ ReceiptHandle }, n) => ({ Id: `d${n}`, ReceiptHandle })),
      { Id: "bad", ReceiptHandle: "no receipt" },
    ],
  }));
  assert.equal(deleted.Successful.length, 9);
  assert.deepEqual(deleted.Failed.map(({ Id, Code }) => [Id, Code]), [["bad", "ReceiptHandleIsInvalid"]]);
});

test("a FIFO queue keeps the order of a group, and forgets what it was sent twice", { skip }, async () => {
  const QueueUrl = await makeQueue(`${randomUUID()}.fifo`, { FifoQueue: "true" });
  const send = (MessageBody, MessageDeduplicationId = MessageBody) => sqs.send(new SendMessageCommand({
    QueueUrl, MessageBody, MessageGroupId: "group", MessageDeduplicationId,
  }));
  const first = await send("1");
  assert.equal((await send("again", "1")).MessageId, first.MessageId);
  await send("2");
  const [one] = await receive(QueueUrl, { MaxNumberOfMessages: 1 });
  assert.equal(one.Body, "1");
  assert.deepEqual(await receive(QueueUrl, { WaitTimeSeconds: 0 }), [], "the group waits");
  await sqs.send(new ChangeMessageVisibilityCommand({
    QueueUrl, ReceiptHandle: one.ReceiptHandle, VisibilityTimeout: 0,
  }));
  assert.deepEqual((await receive(QueueUrl)).map((message) => message.Body), ["1", "2"]);
});

test("queues are found, listed in pages and missed by their error's class", { skip }, async () => {
  const prefix = randomUUID();
  const urls = [];
  for (const n of [1, 2, 3]) urls.push(await makeQueue(`${prefix}-${n}`));
  const found = await sqs.send(new GetQueueUrlCommand({ QueueName: `${prefix}-2` }));
  assert.equal(found.QueueUrl, urls[1]);
  const pages = [];
  for await (const page of paginateListQueues({ client: sqs, pageSize: 2 }, { QueueNamePrefix: prefix })) {
    pages.push(page.QueueUrls);
  }
  assert.deepEqual(pages.map((page) => page.length), [2, 1]);
  assert.deepEqual(pages.flat(), urls);
  assert.equal((await sqs.send(new ListQueuesCommand({ QueueNamePrefix: prefix }))).QueueUrls.length, 3);
  await assert.rejects(sqs.send(new GetQueueUrlCommand({ QueueName: "nowhere" })), QueueDoesNotExist);
  await sqs.send(new PurgeQueueCommand({ QueueUrl: urls[0] }));
});

test("sqs-consumer handles messages, and what it fails at comes again", { skip }, async () => {
  const queueUrl = await makeQueue();
  const seen = [];
  const consumer = Consumer.create({
    queueUrl, sqs, waitTimeSeconds: 1, terminateVisibilityTimeout: true,
    handleMessage: async (message) => {
      seen.push(message.Body);
      if (message.Body === "flaky" && seen.filter((body) => body === "flaky").length === 1) throw new Error("once");
      return message;
    },
  });
  consumer.on("error", () => {});
  consumer.on("processing_error", () => {});
  consumer.start();
  for (const MessageBody of ["good", "flaky"]) {
    await sqs.send(new SendMessageCommand({ QueueUrl: queueUrl, MessageBody }));
  }
  await waitUntil(() => seen.filter((body) => body === "flaky").length === 2, "the second attempt");
  const attributes = () => sqs.send(new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ["All"] }));
  await waitUntil(async () => {
    const { Attributes } = await attributes();
    return Attributes.ApproximateNumberOfMessages === "0" && Attributes.ApproximateNumberOfMessagesNotVisible === "0";
  }, "an empty queue");
  consumer.stop();
  assert.deepEqual(seen.sort(), ["flaky", "flaky", "good"]);
});

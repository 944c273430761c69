// rabbitmq-client, an independent implementation with a higher-level consumer, publisher and RPC client.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { Connection, ConsumerStatus } from "rabbitmq-client";

import { startServer, unique, waitUntil } from "./server.mjs";

let server, rabbit;
before(async () => {
  server = await startServer();
  rabbit = new Connection(server.url);
  rabbit.on("error", () => {}); // under AMQP_URL the restart test interrupts this one too
  await rabbit.onConnect(10_000);
});
after(async () => {
  await rabbit.close();
  await server.close();
});

test("publisher and consumer with bindings", async () => {
  const exchange = unique("e"), queue = unique(), got = [];
  const consumer = rabbit.createConsumer({
    queue, queueOptions: { exclusive: true }, qos: { prefetchCount: 5 },
    exchanges: [{ exchange, type: "topic", autoDelete: true }],
    queueBindings: [{ exchange, routingKey: "users.*" }],
  }, async (message) => { got.push([message.routingKey, message.body]); });
  await new Promise((ready) => consumer.once("ready", ready));
  const publisher = rabbit.createPublisher({ confirm: true });
  await publisher.send({ exchange, routingKey: "users.visit" }, { id: 1 });
  await publisher.send({ exchange, routingKey: "other.visit" }, { id: 2 });
  await publisher.send({ exchange, routingKey: "users.leave" }, "text");
  await waitUntil(() => got.length === 2);
  assert.deepEqual(got, [["users.visit", { id: 1 }], ["users.leave", "text"]]);
  await publisher.close();
  await consumer.close();
});

test("a handler that throws requeues, one that returns DROP dead-letters", async () => {
  const dead = unique("dead"), queue = unique(), seen = [];
  await rabbit.queueDeclare({ queue: dead, exclusive: true });
  const consumer = rabbit.createConsumer({
    queue, queueOptions: { exclusive: true, arguments: { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead } },
  }, async (message) => {
    seen.push(message.redelivered);
    if (seen.length < 3) throw new Error("try again");
    return ConsumerStatus.DROP;
  });
  consumer.on("error", () => {});
  await new Promise((ready) => consumer.once("ready", ready));
  const publisher = rabbit.createPublisher({ confirm: true });
  await publisher.send(queue, "poison");
  const message = await waitUntil(() => rabbit.basicGet({ queue: dead, noAck: true }));
  assert.deepEqual(seen, [false, true, true]);
  assert.equal(message.body, "poison");
  assert.equal(message.headers["x-death"][0].reason, "rejected");
  await publisher.close();
  await consumer.close();
});

test("its RPC client and reply()", async () => {
  const queue = unique("rpc");
  const service = rabbit.createConsumer({ queue, queueOptions: { exclusive: true } }, async (request, reply) => reply(request.body * 2));
  await new Promise((ready) => service.once("ready", ready));
  const client = rabbit.createRPCClient({ confirm: true, timeout: 5000 });
  const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => client.send(queue, n)));
  assert.deepEqual(answers.map((answer) => answer.body), Array.from({ length: 20 }, (_, n) => n * 2));
  await client.close();
  await service.close();
});

test("a mandatory message that nobody takes is returned", async () => {
  const publisher = rabbit.createPublisher({ confirm: true });
  const returned = new Promise((got) => publisher.on("basic.return", got));
  await publisher.send({ routingKey: "conf.nowhere", mandatory: true }, "x");
  assert.equal((await returned).replyCode, 312);
  await publisher.close();
});

test("channel errors carry their name", async () => {
  await assert.rejects(rabbit.queueDeclare({ queue: "nope", passive: true }), { code: "NOT_FOUND" });
  const queue = unique();
  await rabbit.queueDeclare({ queue, exclusive: true });
  await assert.rejects(rabbit.queueDeclare({ queue, exclusive: true, durable: true, arguments: { "x-max-length": 1 } }), { code: "PRECONDITION_FAILED" });
});

test("a transaction commits and rolls back", async () => {
  const queue = unique();
  await rabbit.queueDeclare({ queue, exclusive: true });
  const channel = await rabbit.acquire();
  await channel.txSelect();
  await channel.basicPublish(queue, "no");
  await channel.txRollback();
  await channel.basicPublish(queue, "yes");
  await channel.txCommit();
  assert.equal((await channel.basicGet({ queue, noAck: true })).body, "yes");
  assert.equal(await channel.basicGet({ queue, noAck: true }), undefined);
  await channel.close();
});

test("a consumer and a publisher reconnect by themselves after a kill", async (t) => {
  const own = await startServer();
  if (!own.isOwn && !own.canRestart) return t.skip("restarts the server: needs BATON_BIN or AMQP_RESTART");
  const robust = new Connection({ url: own.url, retryLow: 50, retryHigh: 300 });
  robust.on("error", () => {});
  const queue = unique("durable"), got = [];
  const consumer = robust.createConsumer({ queue, queueOptions: { durable: true } }, async (message) => { got.push(message.body); });
  consumer.on("error", () => {});
  await new Promise((ready) => consumer.once("ready", ready));
  const publisher = robust.createPublisher({ confirm: true, maxAttempts: 10 });
  await publisher.send({ routingKey: queue, durable: true }, "before");
  await waitUntil(() => got.length === 1);
  await own.killAndRestart();
  await waitUntil(() => publisher.send({ routingKey: queue, durable: true }, "after").then(() => true, () => false), "published again", 15_000);
  await waitUntil(() => got.includes("after"));
  assert.equal(got[0], "before");
  await publisher.close();
  await consumer.close();
  await robust.queueDelete({ queue });
  await robust.close();
  await own.close();
});

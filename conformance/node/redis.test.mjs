// Redis's protocol with ioredis: lists, blocking pops, transactions, pub/sub, the same queue through AMQP.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";

import amqp from "amqplib";
import Redis from "ioredis";

import { startServer, waitUntil } from "./server.mjs";

const skip = process.env.BATON_BIN ? false : "RabbitMQ does not speak Redis's protocol";

let server;
const clients = [];
before(async () => { if (!skip) server = await startServer(); });
after(async () => {
  clients.forEach((client) => client.disconnect());
  await server?.close();
});

function connect(options = {}) {
  const [host, port] = server.redis.split(":");
  const client = new Redis({ host, port: Number(port), ...options });
  clients.push(client);
  return client;
}

test("a list is what it is in Redis", { skip }, async () => {
  const redis = connect();
  const key = randomUUID();
  assert.equal(await redis.rpush(key, "b", "c", "d"), 3);
  assert.equal(await redis.lpush(key, "a"), 4);
  assert.deepEqual(await redis.lrange(key, 0, -1), ["a", "b", "c", "d"]);
  assert.equal(await redis.linsert(key, "BEFORE", "c", "x"), 5);
  assert.equal(await redis.lset(key, -1, "D"), "OK");
  assert.equal(await redis.lrem(key, 0, "x"), 1);
  assert.equal(await redis.lindex(key, 1), "b");
  assert.equal(await redis.rpoplpush(key, `${key}-done`), "D");
  assert.deepEqual(await redis.lpop(key, 2), ["a", "b"]);
  assert.equal(await redis.ltrim(key, 1, 0), "OK");
  assert.equal(await redis.exists(key), 0);
  assert.equal(await redis.type(`${key}-done`), "list");
});

test("bytes of any value come back, by buffers and in a pipeline", { skip }, async () => {
  const redis = connect();
  const key = randomUUID();
  const body = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
  const results = await redis.pipeline().rpush(key, body).llen(key).exec();
  assert.deepEqual(results, [[null, 1], [null, 1]]);
  assert.deepEqual(await redis.lpopBuffer(key), body);
});

test("who waits is woken by the last of what is pushed, and a wait ends in time", { skip }, async () => {
  const [redis, waiting] = [connect(), connect()];
  const key = randomUUID();
  const popped = waiting.blpop(key, 10);
  await waitUntil(async () => (await redis.client("LIST")).length > 0, "a list of clients");
  await redis.lpush(key, "a", "b", "c");
  assert.deepEqual(await popped, [key, "c"]);
  assert.equal(await waiting.brpop(`${key}-empty`, 0.05), null);
});

test("a transaction is done as one, and not when a watched list changed", { skip }, async () => {
  const [redis, other] = [connect(), connect()];
  const key = randomUUID();
  assert.deepEqual(await redis.multi().rpush(key, "1", "2").lpop(key).llen(key).exec(), [[null, 2], [null, "1"], [null, 1]]);
  await redis.watch(key);
  await other.rpush(key, "3");
  assert.equal(await redis.multi().rpush(key, "4").exec(), null);
  assert.deepEqual(await redis.lrange(key, 0, -1), ["2", "3"]);
});

test("published messages reach channels and patterns", { skip }, async () => {
  const [redis, subscriber] = [connect(), connect()];
  const heard = [];
  subscriber.on("message", (channel, text) => heard.push([channel, text]));
  subscriber.on("pmessage", (pattern, channel, text) => heard.push([pattern, channel, text]));
  await subscriber.subscribe("news.sport");
  await subscriber.psubscribe("news.*");
  assert.equal(await redis.publish("news.sport", "goal"), 2);
  await waitUntil(() => heard.length === 2, "two messages");
  assert.deepEqual(heard.sort((a, b) => a.length - b.length), [["news.sport", "goal"], ["news.*", "news.sport", "goal"]]);
});

test("what is pushed is consumed by AMQP, and the reverse", { skip }, async () => {
  const redis = connect();
  const key = randomUUID();
  await redis.lpush(key, "from redis");
  const connection = await amqp.connect(server.url);
  const channel = await connection.createConfirmChannel();
  const message = await channel.get(key, { noAck: true });
  assert.equal(message.content.toString(), "from redis");
  channel.sendToQueue(key, Buffer.from("from AMQP"), { persistent: true });
  await channel.waitForConfirms();
  assert.equal(await redis.rpop(key), "from AMQP");
  await connection.close();
});

test("what is not there says so and where to read about it", { skip }, async () => {
  const redis = connect();
  await assert.rejects(redis.hset("h", "f", "v"), /docs\/features\/redis\.md|redis\.md/);
});

// Resource alarms and the largest message, as amqplib and ioredis show them. The Python suite has the rest.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import amqp from "amqplib";
import { Redis } from "ioredis";

import { startBaton, waitUntil } from "./server.mjs";

const MIB = 1 << 20, MAXIMUM = 2 * MIB, skip = !process.env.BATON_BIN && "limits are set in a file of Baton's own: needs BATON_BIN";
const folder = mkdtempSync(join(tmpdir(), "baton-alarms-")), config = join(folder, "baton.toml");
let server;

const metric = async (name) => {
  const text = await (await fetch(`${server.http}/metrics`)).text();
  return Number(text.split("\n").find((line) => line.startsWith(`${name} `)).split(" ")[1]);
};
const limits = (memory) => writeFileSync(config, `[limits]\nmessage_bytes_max = ${MAXIMUM}\nmemory_bytes_max = ${memory}\n`);

before(async () => {
  if (skip) return;
  limits(0);
  server = await startBaton("--config", config);
  const warm = await amqp.connect(server.url);
  await warm.close();
  // Waiting messages of 44 MiB raise the alarm, and end it when they go.
  limits((await metric("baton_process_resident_memory_bytes")) + 44 * MIB);
  await server.killAndRestart();
});
after(async () => {
  await server?.close();
  rmSync(folder, { recursive: true, force: true });
});

test("amqplib hears of an alarm and of its end, and consumes meanwhile", { skip }, async () => {
  const connection = await amqp.connect(server.url), told = [];
  connection.on("blocked", (reason) => told.push(reason));
  connection.on("unblocked", () => told.push("unblocked"));
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue("jobs", { durable: true });
  const send = (body) => new Promise((resolve) => channel.sendToQueue("jobs", body, { persistent: true }, (error) => resolve(!error)));
  let taken = 0, refused = 0;
  while (!refused && taken < 400) (await send(Buffer.alloc(MIB, "m"))) ? (taken += 1) : (refused += 1);
  assert.equal(refused, 1, "a publish is answered basic.nack");
  await waitUntil(() => told.length === 1);
  assert.deepEqual(told, ["low on memory"]);
  assert.equal(await metric("baton_memory_alarm"), 1);
  let got = 0;
  const { consumerTag } = await channel.consume("jobs", (message) => { got += 1; channel.ack(message); });
  await waitUntil(() => got === taken, "every message is delivered during the alarm");
  await waitUntil(() => told.length === 2, "the alarm ends by itself");
  assert.deepEqual(told, ["low on memory", "unblocked"]);
  assert.equal(await metric("baton_memory_alarm"), 0);
  assert.equal(await send(Buffer.from("again")), true);
  await waitUntil(() => got === taken + 1);
  await channel.cancel(consumerTag);
  await connection.close();
});

test("ioredis gets OOM during an alarm, pops go on, and it passes", { skip }, async () => {
  const redis = new Redis(`redis://${server.redis}`, { retryStrategy: null });
  redis.on("error", () => {});
  let pushed = 0, refusal;
  while (!refusal && pushed < 400) await redis.lpush("list", Buffer.alloc(MIB, "m")).then(() => (pushed += 1), (error) => (refusal = error));
  assert.match(refusal.message, /^OOM command not allowed when used memory > 'maxmemory'\. .*limits\.memory_bytes_max/);
  for (let n = 0; n < pushed; n++) assert.equal((await redis.rpopBuffer("list")).length, MIB);
  await waitUntil(() => redis.lpush("list", "again").catch(() => false), "pushes are taken again");
  assert.equal(await redis.rpop("list"), "again");
  await redis.quit();
});

test("the largest message passes, a larger one closes its channel or connection", { skip }, async () => {
  await waitUntil(async () => (await metric("baton_memory_alarm")) === 0);
  const connection = await amqp.connect(server.url);
  const channel = await connection.createConfirmChannel();
  await channel.assertQueue("large", { durable: true });
  channel.sendToQueue("large", Buffer.alloc(MAXIMUM, "x"));
  await channel.waitForConfirms();
  assert.equal((await channel.get("large", { noAck: true })).content.length, MAXIMUM);
  const own = await connection.createChannel();
  const closed = new Promise((resolve) => own.on("error", resolve));
  own.sendToQueue("large", Buffer.alloc(MAXIMUM + 1, "x"));
  const error = await closed;
  assert.equal(error.code, 406);
  assert.ok(error.message.includes(`message size ${MAXIMUM + 1} is larger than configured max size ${MAXIMUM}`), error.message);
  assert.equal((await channel.checkQueue("large")).messageCount, 0);
  await connection.close();

  const redis = new Redis(`redis://${server.redis}`, { retryStrategy: null, maxRetriesPerRequest: 0 });
  redis.on("error", () => {});
  assert.equal(await redis.lpush("large-list", Buffer.alloc(MAXIMUM, "x")), 1);
  assert.equal((await redis.lpopBuffer("large-list")).length, MAXIMUM);
  await assert.rejects(redis.lpush("large-list", Buffer.alloc(MAXIMUM + 1, "x")));
  redis.disconnect();
});

// amqplib, the usual Node client: the main paths and the errors its users match on.
import assert from "node:assert/strict";
import { once } from "node:events";
import { after, before, beforeEach, describe, test } from "node:test";

import amqp from "amqplib";

import { startServer, unique, waitUntil } from "./server.mjs";

let server, connection, channel;
before(async () => {
  server = await startServer();
  connection = await amqp.connect(server.url);
  connection.on("error", () => {}); // under AMQP_URL the restart test takes this one down too
});
after(async () => {
  await connection.close().catch(() => {});
  await server.close();
});
beforeEach(async () => {
  channel = await connection.createConfirmChannel();
});

const temporary = async (options = {}) => (await channel.assertQueue("", { exclusive: true, ...options })).queue;
const send = async (queue, ...bodies) => {
  for (const body of bodies) channel.sendToQueue(queue, Buffer.from(String(body)));
  await channel.waitForConfirms();
};
const drain = async (queue) => {
  const found = [];
  for (let m; (m = await channel.get(queue, { noAck: true })); ) found.push(m.content.toString());
  return found;
};
/** Runs `operation` on a channel of its own, which the server must close with `code`. */
async function closesChannel(code, text, operation) {
  const own = await connection.createChannel();
  const closed = once(own, "error");
  const [, [error]] = await Promise.all([Promise.resolve(operation(own)).catch(() => {}), closed]);
  assert.equal(error.code, code);
  assert.ok(error.message.includes(text), error.message);
}

describe("connection", () => {
  test("announces the capabilities that clients look for", () => {
    const { capabilities } = connection.connection.serverProperties;
    for (const name of ["publisher_confirms", "basic.nack", "consumer_cancel_notify", "exchange_exchange_bindings", "connection.blocked"])
      assert.equal(capabilities[name], true, name);
  });

  test("a bad password is refused with 403", async () => {
    await assert.rejects(amqp.connect(server.url.replace("guest:guest", "guest:wrong")), /ACCESS_REFUSED/);
  });

  test("an unknown vhost is refused with 530", async () => {
    await assert.rejects(amqp.connect(server.url.replace(/\/$/, "/nope")), /Expected ConnectionOpenOk; got <ConnectionClose/); // amqplib says no more
  });

  test("many connections at once", async () => {
    const many = await Promise.all(Array.from({ length: 50 }, () => amqp.connect(server.url)));
    await Promise.all(many.map((one) => one.close()));
  });
});

describe("channel errors", () => {
  test("unknown queue: 404", () => closesChannel(404, "NOT_FOUND - no queue 'nope' in vhost '/'", (c) => c.checkQueue("nope")));
  test("unknown exchange: 404", () =>
    closesChannel(404, "NOT_FOUND - no exchange 'nope' in vhost '/'", (c) => c.publish("nope", "k", Buffer.from(""))));
  test("reserved name: 403", () => closesChannel(403, "contains reserved prefix 'amq.*'", (c) => c.assertQueue("amq.mine")));
  test("unknown delivery tag: 406", () =>
    closesChannel(406, "PRECONDITION_FAILED - unknown delivery tag 7", (c) => c.ack({ fields: { deliveryTag: 7 } })));
  test("different arguments: 406", async () => {
    const queue = unique();
    await channel.assertQueue(queue, { exclusive: true, messageTtl: 1000 });
    await closesChannel(406, `inequivalent arg 'x-message-ttl' for queue '${queue}'`, (c) =>
      c.assertQueue(queue, { exclusive: true, messageTtl: 2000 }));
  });
  test("an exclusive queue of somebody else: 405", async () => {
    const queue = await temporary();
    const other = await amqp.connect(server.url);
    const own = await other.createChannel();
    const closed = once(own, "error");
    own.checkQueue(queue).catch(() => {});
    assert.equal((await closed)[0].code, 405);
    await other.close();
  });
});

describe("publish", () => {
  test("each publish is confirmed, in its own callback", async () => {
    const queue = await temporary();
    const confirms = Array.from({ length: 300 }, (_, n) =>
      new Promise((done, fail) => channel.sendToQueue(queue, Buffer.from(`${n}`), {}, (error) => (error ? fail(error) : done(n)))));
    assert.equal((await Promise.all(confirms)).length, 300);
    assert.deepEqual(await drain(queue), Array.from({ length: 300 }, (_, n) => `${n}`));
  });

  test("mandatory and unroutable is returned before its confirm", async () => {
    const events = [];
    channel.on("return", (m) => events.push(["return", m.fields.replyCode, m.content.toString()]));
    await new Promise((done) => channel.publish("", "conf.nowhere", Buffer.from("x"), { mandatory: true }, () => done(events.push(["confirm"]))));
    assert.deepEqual(events, [["return", 312, "x"], ["confirm"]]);
  });

  test("reject-publish is nacked", async () => {
    const queue = await temporary({ maxLength: 1, overflow: "reject-publish", arguments: { "x-overflow": "reject-publish" } });
    await send(queue, "in");
    await assert.rejects(new Promise((done, fail) => channel.sendToQueue(queue, Buffer.from("out"), {}, (e) => (e ? fail(e) : done()))));
    assert.deepEqual(await drain(queue), ["in"]);
  });

  test("headers of every type come back", async () => {
    const queue = await temporary();
    const headers = {
      string: "ü€", number: 5, big: 2 ** 40, float: 1.5, yes: true, no: false, nothing: null, list: [1, "a", { b: 2 }],
      table: { nested: { deep: "x" } }, bytes: Buffer.from([0, 255]), long: { "!": "int64", value: 12 }, short: { "!": "int16", value: -3 },
    };
    channel.sendToQueue(queue, Buffer.from("x"), { headers, priority: 3, correlationId: "c", timestamp: 1_700_000_000 });
    await channel.waitForConfirms();
    const { properties } = await channel.get(queue, { noAck: true });
    assert.deepEqual(properties.headers, { ...headers, long: 12, short: -3 });
    assert.deepEqual([properties.priority, properties.correlationId, properties.timestamp], [3, "c", 1_700_000_000]);
  });

  test("a body of 3 MiB comes back whole", async () => {
    const queue = await temporary();
    const body = Buffer.alloc(3 * 1024 * 1024, "abc");
    channel.sendToQueue(queue, body);
    await channel.waitForConfirms();
    assert.ok((await channel.get(queue, { noAck: true })).content.equals(body));
  });
});

describe("consume", () => {
  test("prefetch holds the rest back until an ack", async () => {
    const queue = await temporary();
    await send(queue, 1, 2, 3);
    const got = [];
    await channel.prefetch(2);
    await channel.consume(queue, (m) => got.push(m));
    await waitUntil(() => got.length === 2);
    assert.equal((await channel.checkQueue(queue)).messageCount, 1);
    channel.ack(got[0]);
    await waitUntil(() => got.length === 3);
    assert.deepEqual(got.map((m) => m.content.toString()), ["1", "2", "3"]);
  });

  test("global prefetch is shared by the channel", async () => {
    const one = await temporary(), two = await temporary();
    await send(one, 1, 2);
    await send(two, 3, 4);
    const got = [];
    await channel.prefetch(3, true);
    await channel.consume(one, (m) => got.push(m));
    await channel.consume(two, (m) => got.push(m));
    await waitUntil(() => got.length === 3);
    assert.equal((await channel.checkQueue(two)).messageCount, 1);
  });

  test("nack requeues with redelivered set, in place", async () => {
    const queue = await temporary();
    await send(queue, 1, 2);
    channel.nack(await channel.get(queue));
    const again = await channel.get(queue, { noAck: true });
    assert.deepEqual([again.content.toString(), again.fields.redelivered], ["1", true]);
  });

  test("ackAll and nackAll settle everything of the channel", async () => {
    const queue = await temporary();
    await send(queue, 1, 2, 3);
    await channel.get(queue), await channel.get(queue);
    channel.nackAll();
    await channel.get(queue), await channel.get(queue), await channel.get(queue);
    channel.ackAll();
    await channel.recover();
    assert.deepEqual(await drain(queue), []);
  });

  test("deleting the queue calls the consumer with null", async () => {
    const queue = await temporary();
    const got = [];
    await channel.consume(queue, (m) => got.push(m));
    const other = await connection.createChannel();
    await other.deleteQueue(queue);
    await waitUntil(() => got.length === 1);
    assert.deepEqual(got, [null]);
  });

  test("closing the channel gives messages back", async () => {
    const queue = await temporary();
    await send(queue, 1);
    const holder = await connection.createChannel();
    assert.ok(await holder.get(queue));
    await holder.close();
    assert.equal((await waitUntil(() => channel.get(queue, { noAck: true }))).fields.redelivered, true);
  });
});

describe("topology", () => {
  test("topic exchange with dead-lettering", async () => {
    const dead = await temporary(), topic = unique("e");
    await channel.assertExchange(topic, "topic", { autoDelete: true });
    const queue = await temporary({ deadLetterExchange: "", deadLetterRoutingKey: dead });
    await channel.bindQueue(queue, topic, "order.*");
    channel.publish(topic, "order.eu", Buffer.from("x"));
    await channel.waitForConfirms();
    channel.nack(await channel.get(queue), false, false);
    const { properties, fields } = await waitUntil(() => channel.get(dead, { noAck: true }));
    const [{ time, ...death }] = properties.headers["x-death"];
    assert.equal(fields.routingKey, dead);
    assert.deepEqual(death, { count: 1, reason: "rejected", queue, exchange: topic, "routing-keys": ["order.eu"] });
    assert.equal(time["!"], "timestamp");
  });

  test("exchange bindings and alternate exchange", async () => {
    const fallback = unique("e"), main = unique("e"), inner = unique("e"), queue = await temporary(), lost = await temporary();
    await channel.assertExchange(fallback, "fanout", { autoDelete: true });
    await channel.assertExchange(inner, "fanout", { autoDelete: true });
    await channel.assertExchange(main, "direct", { autoDelete: true, alternateExchange: fallback });
    await channel.bindExchange(inner, main, "in");
    await channel.bindQueue(queue, inner, "");
    await channel.bindQueue(lost, fallback, "");
    channel.publish(main, "in", Buffer.from("1"));
    channel.publish(main, "out", Buffer.from("2"));
    await channel.waitForConfirms();
    assert.deepEqual([await drain(queue), await drain(lost)], [["1"], ["2"]]);
  });

  test("priorities, expiry and length limits", async () => {
    const queue = await temporary({ maxPriority: 9, maxLength: 10 });
    for (const priority of [1, 9, 5]) channel.sendToQueue(queue, Buffer.from(`${priority}`), { priority });
    channel.sendToQueue(queue, Buffer.from("gone"), { priority: 9, expiration: "0" });
    await channel.waitForConfirms();
    await waitUntil(async () => (await channel.checkQueue(queue)).messageCount <= 4);
    assert.deepEqual(await drain(queue), ["9", "5", "1"]);
  });
});

describe("rpc", () => {
  test("direct reply-to", async () => {
    const queue = await temporary();
    await channel.consume(queue, (m) =>
      channel.sendToQueue(m.properties.replyTo, Buffer.from(m.content.toString().toUpperCase()), { correlationId: m.properties.correlationId }), { noAck: true });
    const asking = await connection.createChannel();
    const answers = new Map();
    await asking.consume("amq.rabbitmq.reply-to", (m) => answers.set(m.properties.correlationId, m.content.toString()), { noAck: true });
    for (let n = 0; n < 20; n++)
      asking.sendToQueue(queue, Buffer.from(`call ${n}`), { replyTo: "amq.rabbitmq.reply-to", correlationId: `${n}` });
    await waitUntil(() => answers.size === 20);
    assert.equal(answers.get("7"), "CALL 7");
  });
});

describe("recovery", () => {
  test("amqplib's recovery finds durable messages again after a kill", async (t) => {
    const own = await startServer();
    if (!own.isOwn && !own.canRestart) return t.skip("restarts the server: needs BATON_BIN or AMQP_RESTART");
    const queue = unique("durable"), got = [];
    let setups = 0;
    const robust = await amqp.connect(own.url, {
      recovery: {
        initialDelay: 50, maxDelay: 300,
        async setup(model) {
          const ch = await model.createChannel();
          await ch.assertQueue(queue, { durable: true });
          setups += 1;
        },
      },
    });
    robust.on("error", () => {});
    const publisher = await robust.createConfirmChannel();
    publisher.on("error", () => {});
    publisher.sendToQueue(queue, Buffer.from("kept"), { persistent: true });
    await publisher.waitForConfirms();
    await own.killAndRestart();
    await waitUntil(() => setups === 2, "connected again", 20_000);
    const consumer = await robust.createChannel();
    const { consumerTag } = await consumer.consume(queue, (m) => { got.push(m.content.toString()); consumer.ack(m); });
    await waitUntil(() => got.length === 1);
    assert.deepEqual(got, ["kept"]);
    await consumer.cancel(consumerTag);
    await consumer.deleteQueue(queue);
    await robust.close();
    await own.close();
  });
});

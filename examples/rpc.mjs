// RPC: a service answers requests; the caller needs no reply queue of its own (direct reply-to).
//
// The caller consumes the pseudo-queue amq.rabbitmq.reply-to and names it in `replyTo`; the broker puts an address
// there that leads back to exactly this channel. `correlationId` tells which answer belongs to which call.
// `expiration` removes a request that nobody took before the caller gave up.
//
// Run it: npm install amqplib; node rpc.mjs
import { randomUUID } from "node:crypto";

import amqp from "amqplib";

const URL = process.env.BATON_AMQP_URL ?? "amqp://guest:guest@localhost:5672/%2f";
const TIMEOUT_MS = 2000;

/** Answers requests from the queue `prices`. Several of these may run; each request goes to one of them. */
async function serve(connection) {
  const channel = await connection.createChannel();
  await channel.assertQueue("prices", { durable: false, autoDelete: true });
  await channel.prefetch(10);
  await channel.consume("prices", (request) => {
    const { article } = JSON.parse(request.content);
    const answer = article === "unicorn" ? { error: "no such article" } : { price: article.length * 10 };
    const { replyTo, correlationId } = request.properties;
    channel.sendToQueue(replyTo, Buffer.from(JSON.stringify(answer)), { correlationId });
    channel.ack(request); // after the answer: if we die before, another one answers
  });
}

/** A function `call(article)` that resolves to the answer, or rejects after TIMEOUT_MS. */
async function client(connection) {
  const channel = await connection.createChannel();
  const waiting = new Map();
  // No acknowledgements here: an answer is for whoever waits now.
  await channel.consume("amq.rabbitmq.reply-to", (answer) => {
    waiting.get(answer.properties.correlationId)?.(JSON.parse(answer.content));
  }, { noAck: true });
  return (queue, article) => new Promise((resolve, reject) => {
    const correlationId = randomUUID();
    const timer = setTimeout(() => finish(() => reject(new Error("no answer in time"))), TIMEOUT_MS);
    const finish = (how) => {
      clearTimeout(timer);
      waiting.delete(correlationId);
      how();
    };
    waiting.set(correlationId, (answer) => finish(() => resolve(answer)));
    channel.sendToQueue(queue, Buffer.from(JSON.stringify({ article })), {
      correlationId, replyTo: "amq.rabbitmq.reply-to", expiration: `${TIMEOUT_MS}`,
    });
  });
}

const serving = await amqp.connect(URL);
const calling = await amqp.connect(URL);
await serve(serving);
const call = await client(calling);

const articles = ["tea", "coffee", "unicorn"];
const answers = await Promise.all(articles.map((article) => call("prices", article)));
articles.forEach((article, n) => console.log(`${article}: ${JSON.stringify(answers[n])}`));
await call("prices.nobody", "tea").catch((error) => console.log(`nobody there: ${error.message}`));

await calling.close();
await serving.close();

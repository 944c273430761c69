// Fan-out: one event, three queues, each with work of its own at its own pace.
//
// The publisher knows the exchange only. Each department has a queue; bindings say which events it gets. The body is
// stored once. A queue that nobody reads just now keeps its copies: here the warehouse opens last.
//
// Run it: npm install amqplib; node fan_out.mjs
import amqp from "amqplib";

const URL = process.env.BATON_AMQP_URL ?? "amqp://guest:guest@localhost:5672/%2f";
const EXCHANGE = "shop.events";
const DEPARTMENTS = {
  "shop.billing": ["order.placed", "order.cancelled"],
  "shop.mail": ["order.*"], // * is one word
  "shop.warehouse": ["order.placed", "stock.#"], // # is any number of words
};

const connection = await amqp.connect(URL);
connection.on("error", (error) => console.error(error.message));

const setup = await connection.createChannel();
await setup.assertExchange(EXCHANGE, "topic", { durable: true });
for (const [queue, patterns] of Object.entries(DEPARTMENTS)) {
  await setup.assertQueue(queue, { durable: true });
  for (const pattern of patterns) await setup.bindQueue(queue, EXCHANGE, pattern);
}

const publisher = await connection.createConfirmChannel();
for (const [key, content] of [["order.placed", { id: 1 }], ["order.shipped", { id: 1 }], ["stock.low.tea", { left: 3 }]]) {
  publisher.publish(EXCHANGE, key, Buffer.from(JSON.stringify(content)), {
    persistent: true, contentType: "application/json", messageId: `${key}/1`,
  });
}
await publisher.waitForConfirms(); // every queue that gets a copy has it on disk

/** Reads what waits in the queue, one by one, and acknowledges each when its work is done. */
async function department(queue, expected) {
  const channel = await connection.createChannel();
  await channel.prefetch(1);
  const got = [];
  await new Promise((done) => channel.consume(queue, (message) => {
    got.push(`${message.fields.routingKey} ${message.content}`);
    channel.ack(message);
    if (got.length === expected) done();
  }));
  await channel.close();
  console.log(`${queue}: ${got.join(", ")}`);
}

await department("shop.mail", 2);
await department("shop.billing", 1);
await department("shop.warehouse", 2);
await connection.close();

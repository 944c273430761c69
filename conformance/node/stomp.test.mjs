// STOMP with @stomp/stompjs over WebSocket, and with stompit over TCP.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";

import { Client, Versions } from "@stomp/stompjs";
import stompit from "stompit";
import WebSocket from "ws";

import { startServer, waitUntil } from "./server.mjs";

Object.assign(globalThis, { WebSocket });

let server;
before(async () => { server = await startServer(); });
after(async () => { await server?.close(); });

const skip = process.env.BATON_BIN ? false : "the STOMP plugin is not part of a RabbitMQ that is tested by AMQP";

/** A connected client of stompjs. */
async function connect(options = {}) {
  const client = new Client({
    brokerURL: server.websocket,
    connectHeaders: { login: "guest", passcode: "guest" },
    reconnectDelay: 0,
    ...options,
  });
  await new Promise((resolve, reject) => {
    client.onConnect = resolve;
    client.onStompError = (frame) => reject(new Error(`${frame.headers.message}: ${frame.body}`));
    client.onWebSocketError = (event) => reject(new Error(event.message));
    client.activate();
  });
  return client;
}

function receipt(client, act) {
  const id = randomUUID();
  return new Promise((resolve) => {
    client.watchForReceipt(id, resolve);
    act({ receipt: id });
  });
}

const send = (client, destination, body, headers = {}) =>
  receipt(client, (more) => client.publish({ destination, body, headers: { ...headers, ...more } }));

for (const version of ["1.0", "1.1", "1.2"]) {
  test(`stompjs speaks ${version} over WebSocket`, { skip }, async () => {
    const name = `ws-${randomUUID()}`;
    const client = await connect({ stompVersions: new Versions([version]) });
    assert.equal(client.connectedVersion, version);
    const got = [];
    client.subscribe(`/queue/${name}`, (message) => { got.push(message); message.ack(); }, { ack: "client-individual" });
    await send(client, `/queue/${name}`, "körper", { persistent: "true", colour: "red" });
    await waitUntil(() => got.length === 1, "the message");
    assert.equal(got[0].body, "körper");
    assert.equal(got[0].headers.colour, "red");
    await send(client, "/topic/nobody", "");
    await client.deactivate();
    const again = await connect();
    again.subscribe(`/queue/${name}`, (message) => got.push(message));
    await sleep(300);
    assert.equal(got.length, 1, "what was acknowledged came back");
    await again.deactivate();
  });
}

test("stompjs gets bytes as they were", { skip }, async () => {
  const client = await connect();
  const destination = `/queue/ws-${randomUUID()}`;
  const bytes = new Uint8Array(70_000).map((_, at) => at % 256);
  const got = [];
  client.subscribe(destination, (message) => got.push(message));
  client.publish({ destination, binaryBody: bytes, headers: { "content-type": "application/octet-stream" } });
  await waitUntil(() => got.length === 1, "the message");
  assert.deepEqual(got[0].binaryBody, bytes);
  await client.deactivate();
});

test("stompjs transactions, nack and errors", { skip }, async () => {
  const client = await connect();
  const destination = `/queue/ws-${randomUUID()}`;
  const got = [];
  client.subscribe(destination, (message) => {
    got.push(`${message.body} ${message.headers.redelivered ?? "first"}`);
    if (message.headers.redelivered) message.ack(); else message.nack();
  }, { ack: "client-individual" });
  const aborted = client.begin();
  client.publish({ destination, body: "aborted", headers: { transaction: aborted.id } });
  aborted.abort();
  const committed = client.begin();
  client.publish({ destination, body: "committed", headers: { transaction: committed.id } });
  committed.commit();
  await waitUntil(() => got.length === 2, "both deliveries");
  assert.deepEqual(got, ["committed first", "committed true"]);
  const failed = new Promise((resolve) => { client.onStompError = resolve; });
  client.publish({ destination: "/nonsense/x", body: "" });
  assert.equal((await failed).headers.message, "unknown destination");
  await client.deactivate();
});

test("heart-beats keep a WebSocket alive", { skip }, async () => {
  const client = await connect({ heartbeatIncoming: 300, heartbeatOutgoing: 300 });
  await sleep(2_500);
  assert.ok(client.connected);
  await client.deactivate();
});

test("a wrong password and a page of another host are refused", { skip }, async () => {
  await assert.rejects(connect({ connectHeaders: { login: "guest", passcode: "wrong" } }), /Bad CONNECT/);
  const socket = new WebSocket(server.websocket, ["v12.stomp"], { origin: "http://evil.example" });
  const error = await new Promise((resolve) => socket.on("error", resolve));
  assert.match(error.message, /403/);
});

/** A connected client of stompit. */
function connectStompit() {
  const [host, port] = server.stomp.split(":");
  const connectHeaders = { host: "/", login: "guest", passcode: "guest", "heart-beat": "5000,5000" };
  return new Promise((resolve, reject) => {
    stompit.connect({ host, port: Number(port), connectHeaders }, (error, client) => (error ? reject(error) : resolve(client)));
  });
}

test("stompit sends, receives, acknowledges and gives back", { skip }, async () => {
  const destination = `/queue/stompit-${randomUUID()}`;
  const client = await connectStompit();
  for (const body of ["one", "two"]) {
    await new Promise((resolve) => {
      const frame = client.send({ destination, "content-type": "text/plain", persistent: "true" }, { onReceipt: resolve });
      frame.end(body);
    });
  }
  const bodies = [];
  client.subscribe({ destination, ack: "client-individual" }, (error, message) => {
    if (error) return;
    message.readString("utf-8", (_, body) => {
      bodies.push(body);
      if (bodies.length === 1) client.nack(message); else client.ack(message);
    });
  });
  await waitUntil(() => bodies.length === 3, "three deliveries");
  assert.deepEqual([...bodies].sort(), ["one", "one", "two"]);
  const transaction = client.begin();
  transaction.send({ destination: `${destination}-out` }).end("in a transaction");
  await new Promise((resolve) => transaction.commit({ onReceipt: resolve }));
  const other = await connectStompit();
  const body = await new Promise((resolve, reject) => {
    other.subscribe({ destination: `${destination}-out`, ack: "auto" }, (error, message) =>
      error ? reject(error) : message.readString("utf-8", (_, text) => resolve(text)));
  });
  assert.equal(body, "in a transaction");
  for (const one of [client, other]) await new Promise((resolve) => one.disconnect(resolve));
});

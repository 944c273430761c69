// Amazon SQS with AWS's SDK for JavaScript: access keys, session tokens, wrong clocks, hosts, relaxed mode.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import {
  CreateQueueCommand, DeleteQueueCommand, ListQueuesCommand, PurgeQueueCommand, ReceiveMessageCommand, SQSClient,
  SendMessageCommand,
} from "@aws-sdk/client-sqs";

import { startBaton } from "./server.mjs";

const skip = process.env.BATON_BIN ? false : "access keys come from Baton's configuration";

const REGION = "eu-central-1";
const KEY = { accessKeyId: "AKIASHOP", secretAccessKey: "secret/of+shop=" };
const TEMPORARY = { accessKeyId: "ASIATEMPORARY", secretAccessKey: "for a while", sessionToken: "a+token/with=signs" };
const CONFIG = `
[sqs]
region = "${REGION}"
[sqs.access_keys.${KEY.accessKeyId}]
secret = "${KEY.secretAccessKey}"
[sqs.access_keys.${TEMPORARY.accessKeyId}]
secret = "${TEMPORARY.secretAccessKey}"
session_token = "${TEMPORARY.sessionToken}"
`;

let server;
let folder;
const clients = [];
before(async () => {
  if (skip) return;
  folder = mkdtempSync(join(tmpdir(), "baton-sqs-access-"));
  writeFileSync(join(folder, "baton.toml"), CONFIG);
  server = await startBaton("--config", join(folder, "baton.toml"));
});
after(async () => {
  clients.forEach((client) => client.destroy());
  await server?.close();
  if (folder) rmSync(folder, { recursive: true });
});

function connect(options = {}) {
  const client = new SQSClient({ endpoint: server.http, region: REGION, credentials: KEY, maxAttempts: 1, ...options });
  clients.push(client);
  return client;
}

async function roundTrip(sqs, url) {
  const QueueUrl = url ?? (await sqs.send(new CreateQueueCommand({ QueueName: randomUUID() }))).QueueUrl;
  const MessageBody = `grüße ${randomUUID()}`;
  await sqs.send(new SendMessageCommand({ QueueUrl, MessageBody }));
  const { Messages } = await sqs.send(new ReceiveMessageCommand({ QueueUrl, WaitTimeSeconds: 5 }));
  assert.equal(Messages[0].Body, MessageBody);
  return QueueUrl;
}

test("right keys and session tokens are let in", { skip }, async () => {
  await roundTrip(connect());
  await roundTrip(connect({ credentials: TEMPORARY }));
});

test("wrong ones get AWS's errors", { skip }, async () => {
  const cases = [
    [{ credentials: { ...KEY, secretAccessKey: "wrong" } }, "SignatureDoesNotMatch", /signature we calculated does not match/],
    [{ credentials: { ...KEY, accessKeyId: "AKIANOBODY" } }, "InvalidClientTokenId", /security token included in the request is invalid/],
    [{ credentials: { ...TEMPORARY, sessionToken: "another" } }, "InvalidClientTokenId", /security token/],
    [{ credentials: { ...TEMPORARY, sessionToken: undefined } }, "InvalidClientTokenId", /security token/],
    [{ region: "us-east-1" }, "SignatureDoesNotMatch", /Credential should be scoped to a valid region/],
  ];
  for (const [options, code, words] of cases) {
    await assert.rejects(connect(options).send(new ListQueuesCommand({})), (error) => {
      assert.equal(error.Code ?? error.name, code, JSON.stringify(error));
      assert.match(error.message, words);
      assert.equal(error.$metadata.httpStatusCode, 403);
      assert.ok(error.$metadata.requestId);
      return true;
    });
  }
});

test("a client whose clock is an hour wrong is told the time, and its next attempt is right", { skip }, async (t) => {
  for (const wrong of [-3_600_000, 3_600_000]) {
    t.mock.timers.enable({ apis: ["Date"], now: Date.now() + wrong });
    await assert.rejects(connect().send(new ListQueuesCommand({})), (error) => {
      assert.match(error.message, /Signature (expired|not yet current)/);
      assert.ok(error.$metadata.clockSkewCorrected);
      return true;
    });
    await roundTrip(connect({ maxAttempts: 2 }));
    t.mock.timers.reset();
  }
});

test("queue URLs with any host are understood", { skip }, async () => {
  const sqs = connect({ useQueueUrlAsEndpoint: false });
  const { pathname } = new URL(await roundTrip(sqs));
  for (const host of ["https://sqs.eu-central-1.amazonaws.com", "http://broker.internal:4566", `http://localhost:${new URL(server.http).port}`]) {
    await roundTrip(sqs, host + pathname);
  }
});

test("relaxed, a queue is purged and made again without a pause", { skip }, async () => {
  const relaxed = await startBaton("--sqs-relaxed");
  const sqs = connect({ endpoint: relaxed.http });
  for (let round = 0; round < 3; round++) {
    const QueueUrl = await roundTrip(sqs, (await sqs.send(new CreateQueueCommand({ QueueName: "again" }))).QueueUrl);
    await sqs.send(new PurgeQueueCommand({ QueueUrl }));
    await sqs.send(new PurgeQueueCommand({ QueueUrl }));
    await sqs.send(new DeleteQueueCommand({ QueueUrl }));
  }
  await relaxed.close();
});

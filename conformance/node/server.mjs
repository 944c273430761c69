// The server under test: a Baton of our own (BATON_BIN), or whatever answers at AMQP_URL. Knows nothing about AMQP.
import { execSync, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const READY_MS_MAX = 20_000;

/** Polls `condition` until it is truthy and returns its value. */
export async function waitUntil(condition, what = "condition", ms = 10_000) {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`${what} did not become true within ${ms} ms`);
    await sleep(20);
  }
}

class Baton {
  isOwn = true;
  #home = mkdtempSync(join(tmpdir(), "baton-conformance-"));
  #listen = { amqp: "127.0.0.1:0", http: "127.0.0.1:0", stomp: "127.0.0.1:0", redis: "127.0.0.1:0" };
  #process;
  #options;

  /** `options`: more arguments of `baton serve`. */
  constructor(options = []) {
    this.#options = options;
  }

  async start() {
    const ready = join(this.#home, "ready.json");
    rmSync(ready, { force: true });
    this.#process = spawn(
      process.env.BATON_BIN,
      ["serve", "--amqp-listen", this.#listen.amqp, "--http-listen", this.#listen.http,
        "--stomp-listen", this.#listen.stomp, "--redis-listen", this.#listen.redis, "--data-dir", join(this.#home, "data"), "--ready-file", ready,
        ...this.#options],
      { cwd: this.#home, stdio: ["ignore", "pipe", "pipe"] },
    );
    const log = createWriteStream(join(this.#home, "baton.log"), { flags: "a" });
    this.#process.stdout.pipe(log, { end: false });
    this.#process.stderr.pipe(log, { end: false });
    this.#listen = await waitUntil(() => {
      if (this.#process.exitCode !== null) throw new Error(`baton ended: ${readFileSync(join(this.#home, "baton.log"))}`);
      try {
        return existsSync(ready) && JSON.parse(readFileSync(ready, "utf8"));
      } catch {
        return false; // not wholly written yet
      }
    }, "baton ready", READY_MS_MAX);
    this.url = `amqp://guest:guest@${this.#listen.amqp}/`;
    this.stomp = this.#listen.stomp;
    this.redis = this.#listen.redis;
    this.http = `http://${this.#listen.http}`;
    this.websocket = `ws://${this.#listen.http}/ws`;
    return this;
  }

  async #end(signal) {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = once(this.#process, "exit");
    this.#process.kill(signal);
    await exited;
  }

  /** SIGKILL, and again on the same data and port. */
  async killAndRestart() {
    await this.#end("SIGKILL");
    await this.start();
  }

  async close() {
    await this.#end("SIGKILL");
    rmSync(this.#home, { recursive: true, force: true });
  }
}

class Running {
  isOwn = false;
  url = process.env.AMQP_URL;
  canRestart = Boolean(process.env.AMQP_RESTART);
  async killAndRestart() {
    execSync(process.env.AMQP_RESTART, { stdio: "ignore" });
  }
  async close() {}
}

/** Starts (or finds) the server. `t.skip` reasons: `baton_only` rules are skipped against anything else. */
export async function startServer() {
  if (process.env.AMQP_URL) return new Running();
  if (process.env.BATON_BIN) return new Baton().start();
  throw new Error("set BATON_BIN to a baton binary (the suite starts it), or AMQP_URL to a running server");
}

/** A Baton with options of its own; only where BATON_BIN is set. */
export const startBaton = (...options) => new Baton(options).start();

let counter = 0;
export const unique = (what = "q") => `conf.node.${what}.${process.pid}.${Date.now().toString(36)}.${counter++}`;

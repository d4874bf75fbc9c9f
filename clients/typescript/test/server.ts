// The real server, in development mode, on a database of its own. `make test` names the database, the Redis and the binary.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

function setting(name: string): string {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; scripts/web.sh sets what these tests need`);
  return value;
}

async function freePort(): Promise<number> {
  const listener = createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const address = listener.address();
  listener.close();
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

export class Server {
  readonly url: string;
  readonly port: number;
  readonly #data: string;
  #child: ChildProcess | undefined;

  private constructor(port: number, data: string) {
    this.port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.#data = data;
  }

  static async start(): Promise<Server> {
    const server = new Server(await freePort(), await mkdtemp(join(tmpdir(), "muneem-client-")));
    await server.serve();
    return server;
  }

  /** Starts it and waits until it says that it serves. */
  async serve(): Promise<void> {
    const child = spawn(setting("MUNEEM_BINARY"), ["serve"], {
      stdio: ["ignore", "pipe", "inherit"],
      env: {
        PATH: process.env["PATH"],
        MUNEEM_MODE: "development",
        MUNEEM_LISTEN: `127.0.0.1:${this.port}`,
        MUNEEM_URL: this.url,
        MUNEEM_DATA_DIR: this.#data,
        MUNEEM_REDIS_PREFIX: `client-${process.pid}:`,
        MUNEEM_DATABASE_CONNECTIONS: "8",
        RUST_LOG: "error",
        MUNEEM_OTP_PER_ADDRESS_PER_HOUR: "1000",
        DATABASE_URL: setting("DATABASE_URL"),
        REDIS_URL: setting("REDIS_URL"),
      },
    });
    this.#child = child;
    // A story that never ends must not leave a server behind.
    process.once("exit", () => child.kill("SIGKILL"));
    process.once("SIGTERM", () => process.exit(143));
    for await (const line of createInterface(child.stdout!)) {
      if (!line.startsWith("Muneem serves on")) continue;
      child.stdout!.resume();
      return;
    }
    throw new Error("the server ended before it served");
  }

  /** As a crash does it. */
  async kill(): Promise<void> {
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  async stop(): Promise<void> {
    await this.kill();
    await rm(this.#data, { recursive: true, force: true });
  }
}

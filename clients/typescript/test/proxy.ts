// A wire between client and server that can be cut, or go silent as a dead network does.
import { once } from "node:events";
import { createConnection, createServer, type Socket } from "node:net";

export class Proxy {
  readonly #server = createServer((client) => this.#join(client));
  readonly #wires = new Set<Socket>();
  readonly #target: number;
  #silent = false;
  #muted = false;
  #refusing = false;
  /** Connections that were made through it. */
  connections = 0;

  private constructor(target: number) {
    this.#target = target;
  }

  static async to(port: number): Promise<Proxy> {
    const proxy = new Proxy(port);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get port(): number {
    const address = this.#server.address();
    if (address === null || typeof address === "string") throw new Error("no port");
    return address.port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  #join(client: Socket): void {
    if (this.#refusing) return void client.destroy();
    this.connections += 1;
    const server = createConnection(this.#target, "127.0.0.1");
    for (const [from, to] of [[client, server], [server, client]] as const) {
      this.#wires.add(from);
      from.on("data", (data) => {
        if (!this.#silent && !(this.#muted && from === server)) to.write(data);
      });
      from.on("error", () => undefined);
      from.on("close", () => {
        this.#wires.delete(from);
        if (!this.#silent) to.destroy();
      });
    }
  }

  /** Every connection breaks. */
  cut(): void {
    for (const wire of this.#wires) wire.destroy();
  }

  /** Nobody gets through until `restore`. */
  cutAndRefuse(): void {
    this.#refusing = true;
    this.cut();
  }

  /** Nothing comes through any more, and nobody is told. New connections are silent too. */
  silence(): void {
    this.#silent = true;
  }

  /** What the server says is lost; what the client says arrives. */
  mute(): void {
    this.#muted = true;
  }

  /** Breaks what was disturbed, and lets everything through from now on. */
  restore(): void {
    if (this.#silent || this.#muted) this.cut();
    this.#silent = this.#muted = this.#refusing = false;
  }

  /** Nobody listens at the port any more. */
  async leave(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, "close");
  }

  /** Somebody listens at the port again. */
  async comeBack(port: number): Promise<void> {
    this.#server.listen(port, "127.0.0.1");
    await once(this.#server, "listening");
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}

// People of a small world: users, hosts and an admin, signed in through the client as apps do it.
import { MemoryStore, Muneem, type Settings, type Store } from "../src/index.js";
import { Server } from "./server.js";

/** The phone of the admin of a world in development mode. */
const ADMIN = "+919000000001";
/** Thousandths of a coin a minute. */
export const PRICE = 60_000;

let phones = 0;
export function newPhone(): string {
  phones += 1;
  return `+9198760${String(phones).padStart(5, "0")}`;
}

export interface Person {
  readonly client: Muneem;
  readonly id: string;
  readonly phone: string;
  readonly store: Store;
}

export class World {
  readonly server: Server;
  readonly admin: Person;

  private constructor(server: Server, admin: Person) {
    this.server = server;
    this.admin = admin;
  }

  static async start(): Promise<World> {
    const server = await Server.start();
    return new World(server, await signIn(server.url, ADMIN));
  }

  stop(): Promise<void> {
    return this.server.stop();
  }

  newUser(settings: Partial<Settings> = {}): Promise<Person> {
    return signIn(this.server.url, newPhone(), settings);
  }

  /** A user with coins that an admin has given. */
  async newUserWith(coinsMilli: number, settings: Partial<Settings> = {}): Promise<Person> {
    const user = await this.newUser(settings);
    const body = { user: user.id, coins_milli: coinsMilli };
    await this.admin.client.post("/v1/admin/bonuses", { body });
    return user;
  }

  async newHost(settings: Partial<Settings> = {}): Promise<Person> {
    const host = await this.newUser(settings);
    const body = { display_name: "Meera", bio: "Reads charts", categories: ["astrology"], languages: ["hi"] };
    await host.client.post("/v1/hosts/applications", { body });
    await this.admin.client.post("/v1/admin/hosts/{person}/approve", { path: { person: host.id } });
    for (const medium of ["chat", "voice", "video"] as const) {
      const rate = { path: { medium }, body: { price_milli_per_minute: PRICE } };
      await host.client.put("/v1/hosts/me/rates/{medium}", rate);
    }
    return host;
  }
}

/** The code that development mode shows. */
export async function codeFor(url: string, phone: string): Promise<string> {
  const shown = await fetch(`${url}/dev/otp/${encodeURIComponent(phone)}`);
  return ((await shown.json()) as { code: string }).code;
}

export async function signIn(url: string, phone: string, settings: Partial<Settings> = {}): Promise<Person> {
  const store = settings.store ?? new MemoryStore();
  const client = new Muneem({ baseUrl: url, ...settings, store });
  const started = await client.startSignIn(phone);
  const person = await client.finishSignIn(started, await codeFor(url, phone));
  return { client, id: person.person, phone, store };
}

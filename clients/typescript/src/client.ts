import { awaited, keyed } from "./generated/operations.js";
import { Http } from "./http.js";
import { newKey } from "./keys.js";
import { type LiveSettings, LiveSocket } from "./live.js";
import { isAboutToken, Problem } from "./problem.js";
import { PATIENCE, type Patience } from "./retry.js";
import { type Grant, Session, type SignInStarted } from "./session.js";
import { defaultStore, type Store } from "./store.js";
import type { Answer, Common, Method, Options, PathOf, Schemas } from "./types.js";

export interface Settings {
  /** Where the server is, such as `https://api.example.com`. */
  readonly baseUrl: string;
  /** Where the session is kept. `localStorage` where there is one, else memory. */
  readonly store?: Store;
  readonly patience?: Partial<Patience>;
  /** After this long without an answer a request counts as lost. */
  readonly timeoutMs?: number;
  readonly fetch?: typeof fetch;
  readonly WebSocket?: typeof WebSocket;
  readonly live?: Partial<LiveSettings>;
}

/** One server, and whoever is signed in there on this device. */
export class Muneem {
  readonly #base: string;
  readonly #http: Http;
  readonly #session: Session;
  readonly #settings: Settings;
  /** The journal that this client has written to or heard of, and how far. */
  #seen: { journal: string | undefined; revision: number } = { journal: undefined, revision: -1 };

  constructor(settings: Settings) {
    this.#settings = settings;
    this.#base = settings.baseUrl.replace(/\/+$/, "");
    // A fetch that is not called on its own window refuses to work.
    const fetcher = settings.fetch ?? ((...request: Parameters<typeof fetch>) => globalThis.fetch(...request));
    const patience = { ...PATIENCE, ...settings.patience };
    this.#http = new Http(this.#base, fetcher, patience, settings.timeoutMs ?? 20_000);
    this.#session = new Session(this.#http, settings.store ?? defaultStore(), `muneem ${this.#base}`);
  }

  /** Sends a one-time password to the phone. */
  startSignIn(phone: string, channel: Schemas["OtpChannel"] = "sms"): Promise<SignInStarted> {
    return this.#session.startSignIn(phone, channel);
  }

  /** Signs in with the code that came. */
  finishSignIn(started: SignInStarted, code: string): Promise<Schemas["PersonView"]> {
    return this.#session.finishSignIn(started, code);
  }

  /** The id of whoever is signed in on this device; `undefined` when nobody is. */
  person(): Promise<string | undefined> {
    return this.#session.person();
  }

  /** Ends the session. It is forgotten on this device even if the server could not be told. */
  signOut(options: { readonly everywhere?: boolean } = {}): Promise<void> {
    return this.#session.signOut(options.everywhere ?? false);
  }

  /** Calls back when the session has ended, whoever ended it. Returns what stops that. */
  onSignedOut(listener: () => void): () => void {
    return this.#session.onEnded(listener);
  }

  get<P extends PathOf<"get">>(path: P, ...options: Options<P, "get">): Promise<Answer<P, "get">> {
    return this.#request("get", path, options[0]);
  }

  post<P extends PathOf<"post">>(path: P, ...options: Options<P, "post">): Promise<Answer<P, "post">> {
    return this.#request("post", path, options[0]);
  }

  put<P extends PathOf<"put">>(path: P, ...options: Options<P, "put">): Promise<Answer<P, "put">> {
    return this.#request("put", path, options[0]);
  }

  patch<P extends PathOf<"patch">>(path: P, ...options: Options<P, "patch">): Promise<Answer<P, "patch">> {
    return this.#request("patch", path, options[0]);
  }

  delete<P extends PathOf<"delete">>(path: P, ...options: Options<P, "delete">): Promise<Answer<P, "delete">> {
    return this.#request("delete", path, options[0]);
  }

  /** Opens the socket and keeps it open. One is enough for an app. */
  live(): LiveSocket {
    const socket = this.#settings.WebSocket ?? globalThis.WebSocket;
    const url = `${this.#base.replace(/^http/, "ws")}/v1/ws`;
    const live = new LiveSocket(url, socket, this.#session, this.#settings.live);
    live.onProgress((revision) => this.#noteRevision(undefined, revision));
    return live;
  }

  async #request<T>(method: Method, path: string, options: Given = {}): Promise<T> {
    const operation = `${method} ${path}`;
    const key = options.key ?? (keyed.has(operation) ? newKey() : undefined);
    const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(options.path?.[name])));
    const query = { ...options.query };
    const waits = awaited.has(operation) && query["min_revision"] === undefined && this.#seen.revision >= 0;
    if (waits) query["min_revision"] = this.#seen.revision;
    const send = async (grant: Grant | undefined) => {
      const sending = { body: options.body, token: grant?.accessToken, key, query, signal: options.signal };
      const answer = await this.#http.send<T>(method, filled, sending);
      this.#noteReceipt(answer);
      return answer;
    };
    // Some routes are open to anybody; the server says which are not.
    const isSignedIn = (await this.#session.person()) !== undefined;
    const grant = isSignedIn ? await this.#session.grant() : undefined;
    try {
      return await send(grant);
    } catch (fault) {
      if (!(fault instanceof Problem)) throw fault;
      if (grant && isAboutToken(fault)) return send(await this.#session.renew(grant));
      if (fault.code === "session_ended") await this.#session.forget();
      // The server has another journal than the one that the receipts were of.
      if (waits && fault.code === "min_revision_beyond_journal") {
        this.#seen = { journal: undefined, revision: -1 };
        delete query["min_revision"];
        return send(grant);
      }
      throw fault;
    }
  }

  #noteReceipt(answer: unknown): void {
    const { journal, revision } = (answer ?? {}) as { journal?: unknown; revision?: unknown };
    if (typeof journal === "string" && typeof revision === "number") this.#noteRevision(journal, revision);
  }

  #noteRevision(journal: string | undefined, revision: number): void {
    const other = journal !== undefined && this.#seen.journal !== undefined && journal !== this.#seen.journal;
    const highest = other ? revision : Math.max(this.#seen.revision, revision);
    this.#seen = { journal: journal ?? this.#seen.journal, revision: highest };
  }
}

/** The options of a request as all operations have them. */
interface Given extends Common {
  readonly path?: Readonly<Record<string, unknown>>;
  readonly query?: Readonly<Record<string, unknown>>;
  readonly body?: unknown;
}

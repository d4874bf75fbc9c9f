import { keyedRequests } from "./generated/operations.js";
import { newKey } from "./keys.js";
import { isAboutToken, Problem } from "./problem.js";
import { backOff, PATIENCE, retrying } from "./retry.js";
import type { Grant, Session } from "./session.js";
import type { Pushes, ServerFrame, SocketAnswers, SocketFields, SocketRequests, Welcome } from "./types.js";

export interface LiveSettings {
  /** After this long without a word the server is asked for one, and after as long again it counts as gone. */
  readonly quietMs: number;
  /** How long a request may take, over however many connections. */
  readonly requestMs: number;
  readonly firstPauseMs: number;
  readonly longestPauseMs: number;
}

const SETTINGS: LiveSettings = { quietMs: 5_000, requestMs: 20_000, firstPauseMs: 500, longestPauseMs: 30_000 };

/** `waiting` is the pause before the next try. `closed` is for good. */
export type LiveState = "connecting" | "open" | "waiting" | "closed";

/** How a socket began. */
export interface Beginning {
  /** Events happened while there was no socket: read again what is shown. */
  readonly missed: boolean;
}

/** What came with a push. */
export interface PushInfo {
  /** The revision of the event that it tells of. Rings, presence and the token have none. */
  readonly offset: number | undefined;
}

interface Asked {
  readonly frame: string;
  /** On the connection of now. */
  sent: boolean;
  readonly settle: (frame: Reply) => void;
  readonly fail: (problem: Problem) => void;
}

/** Every reply names the request that it answers; a push answers none. */
type Reply = Extract<ServerFrame, { reply_to: unknown }>;
type Push = Exclude<ServerFrame, Reply>;

type Listener = (data: never, info: PushInfo) => void;

/** The person opened a newer socket and has as many as one may have. To connect again would close another one. */
const TOO_MANY_SOCKETS = 4430;
/** Who it is could not be told from the token. */
const NOT_SIGNED_IN = 4401;
/** A token is renewed when it has this long to go; less than what makes the session ask for the next one. */
const RENEW_BEFORE_MS = 20_000;
/** A connection that lasted as long was a good one: the next pause is a short one again. */
const GOOD_MS = 10_000;

/**
 * One socket that lasts: it signs in, comes back after a loss, sends again what was not answered, notices a server that
 * has gone without a word, and renews its token.
 */
export class LiveSocket {
  readonly #url: string;
  readonly #Socket: typeof WebSocket;
  readonly #session: Session;
  readonly #settings: LiveSettings;
  readonly #listeners = new Map<string, Set<Listener>>();
  readonly #welcomed = new Set<(welcome: Welcome, beginning: Beginning) => void>();
  readonly #changed = new Set<(state: LiveState) => void>();
  readonly #progressed = new Set<(revision: number) => void>();
  readonly #asked = new Map<number, Asked>();
  readonly #stops: (() => void)[] = [];

  #state: LiveState = "connecting";
  #socket: WebSocket | undefined;
  #welcome: Welcome | undefined;
  /** Why it is closed for good. */
  #end: Problem | undefined;
  #nextId = 1;
  #tried = 0;
  #grant: Grant | undefined;
  #openedAt = 0;
  #heardAt = 0;
  #pingedAt: number | undefined;
  /** Pushes up to here are known from the welcome. */
  #floor = -1;
  /** The highest offset that anything told of. */
  #reached = -1;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #renewal: ReturnType<typeof setTimeout> | undefined;
  #heartbeat: ReturnType<typeof setInterval> | undefined;

  constructor(url: string, socket: typeof WebSocket, session: Session, settings: Partial<LiveSettings> = {}) {
    this.#url = url;
    this.#Socket = socket;
    this.#session = session;
    this.#settings = { ...SETTINGS, ...settings };
    this.#stops.push(session.onEnded(() => this.#finish(ended())));
    const online = () => this.retryNow();
    globalThis.addEventListener?.("online", online);
    this.#stops.push(() => globalThis.removeEventListener?.("online", online));
    void this.#connect();
  }

  get state(): LiveState {
    return this.#state;
  }

  /** Calls back for each push of this name. Returns what stops that. */
  on<N extends keyof Pushes>(name: N, listener: (data: Pushes[N], info: PushInfo) => void): () => void {
    const listeners = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, listeners.add(listener as Listener));
    return () => listeners.delete(listener as Listener);
  }

  /**
   * The next push of this name that fits; rejects when the socket closes for good. A push can get lost with its
   * connection, so `instead` is asked each time the socket is back: what it returns is taken for the push.
   */
  next<N extends keyof Pushes>(
    name: N,
    fits: (data: Pushes[N]) => boolean = () => true,
    instead?: () => Promise<Pushes[N] | undefined>,
  ): Promise<Pushes[N]> {
    return new Promise((resolve, reject) => {
      if (this.#end) return reject(this.#end);
      const stops: (() => void)[] = [];
      const came = (data: Pushes[N] | undefined) => {
        if (data === undefined) return;
        for (const stop of stops) stop();
        resolve(data);
      };
      stops.push(this.on(name, (data) => came(fits(data) ? data : undefined)));
      stops.push(
        this.onState((state) => {
          if (state !== "closed") return;
          for (const stop of stops) stop();
          reject(this.#end ?? ended());
        }),
      );
      // Where it cannot be asked, the push may still come, or the next connection asks again.
      if (instead) stops.push(this.onWelcome(() => void instead().then(came, () => undefined)));
    });
  }

  /** Calls back each time the socket has signed in: read what you show, then go on with the pushes. */
  onWelcome(listener: (welcome: Welcome, beginning: Beginning) => void): () => void {
    this.#welcomed.add(listener);
    return () => this.#welcomed.delete(listener);
  }

  onState(listener: (state: LiveState) => void): () => void {
    this.#changed.add(listener);
    return () => this.#changed.delete(listener);
  }

  /** Calls back with the journal's revision as it becomes known. */
  onProgress(listener: (revision: number) => void): () => void {
    this.#progressed.add(listener);
    return () => this.#progressed.delete(listener);
  }

  /** Returns once the socket is signed in. */
  async ready(): Promise<Welcome> {
    if (this.#end) throw this.#end;
    if (this.#state === "open" && this.#welcome) return this.#welcome;
    return new Promise((resolve, reject) => {
      const stop = () => {
        stopWelcome();
        stopState();
      };
      const stopWelcome = this.onWelcome((welcome) => {
        stop();
        resolve(welcome);
      });
      const stopState = this.onState((state) => {
        if (state !== "closed") return;
        stop();
        reject(this.#end ?? ended());
      });
    });
  }

  /** Asks for something. While there is no connection the request waits for one, as long as a request may take. */
  async request<N extends keyof SocketRequests>(type: N, fields: SocketFields<N>): Promise<SocketAnswers[N]> {
    const given = fields as { readonly key?: string };
    const key = given.key ?? (keyedRequests.has(type) ? newKey() : undefined);
    const data = key === undefined ? given : { ...given, key };
    const cut = new AbortController();
    const timer = setTimeout(() => cut.abort(Problem.unreachable(key)), this.#settings.requestMs);
    try {
      const ask = () => this.#ask<SocketAnswers[N]>(type, data, key, cut.signal);
      return await retrying(PATIENCE, ask, cut.signal);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Ends the pause before the next try: call it when the app comes to the front, or the network comes back. */
  retryNow(): void {
    if (this.#state === "waiting") void this.#connect();
  }

  /** Closes the socket for good. */
  close(): void {
    this.#finish(new Problem({ code: "closed", detail: "the socket was closed by the app" }, 0));
  }

  // ---- the connection

  async #connect(): Promise<void> {
    clearTimeout(this.#retry);
    this.#become("connecting");
    try {
      this.#grant = await this.#session.grant();
    } catch (fault) {
      return this.#afterToken(fault);
    }
    // It was closed meanwhile.
    if (this.#end || this.#socket) return;
    const socket = new this.#Socket(this.#url);
    this.#socket = socket;
    this.#openedAt = this.#heardAt = Date.now();
    this.#pingedAt = undefined;
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.#signIn(socket);
    };
    socket.onmessage = (event) => {
      if (socket === this.#socket) this.#hear(String(event.data));
    };
    socket.onclose = (event) => {
      if (socket === this.#socket) this.#lost(event.code);
    };
    // Of a connection that nobody took, some programs are told this alone, or this long before the close.
    socket.onerror = () => {
      if (socket === this.#socket && !opened) this.#lost(1006);
    };
    this.#heartbeat = setInterval(() => this.#listenForSilence(), this.#settings.quietMs / 4);
  }

  /** The first frame says who it is; another one on the same socket brings a fresh token. */
  #signIn(socket: WebSocket): void {
    const id = this.#nextId++;
    const grant = this.#grant;
    const first = this.#state !== "open";
    this.#asked.set(id, {
      frame: "",
      sent: true,
      settle: (reply) => {
        if (socket !== this.#socket) return;
        if (reply.type === "auth:done") this.#begin(reply.data, first);
        // The close that follows says the same.
        else if (!first) void this.#renew(grant);
      },
      fail: () => undefined,
    });
    socket.send(JSON.stringify({ id, type: "auth", data: { token: grant?.accessToken } }));
  }

  #begin(welcome: Welcome, first: boolean): void {
    this.#welcome = welcome;
    void this.#renewInTime();
    if (first) {
      const missed = this.#reached >= 0 && welcome.offset > this.#reached;
      this.#floor = welcome.offset;
      this.#reach(welcome.offset);
      this.#become("open");
      for (const listener of this.#welcomed) listener(welcome, { missed });
    }
    for (const asked of this.#asked.values()) this.#send(asked);
  }

  #lost(code: number): void {
    if (Date.now() - this.#openedAt > GOOD_MS) this.#tried = 0;
    this.#detach();
    if (code === TOO_MANY_SOCKETS) {
      const detail = "the person has opened newer sockets elsewhere";
      return this.#finish(new Problem({ code: "too_many_sockets", detail }, 0));
    }
    if (code === NOT_SIGNED_IN) {
      this.#become("waiting");
      void this.#renew(this.#grant);
    } else {
      this.#later();
    }
  }

  #later(): void {
    this.#become("waiting");
    this.#tried += 1;
    const pause = backOff(this.#tried, this.#settings.firstPauseMs, this.#settings.longestPauseMs);
    this.#retry = setTimeout(() => void this.#connect(), pause);
  }

  #detach(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    clearInterval(this.#heartbeat);
    clearTimeout(this.#renewal);
    for (const [id, asked] of this.#asked) {
      // The next connection has a sign-in of its own.
      if (asked.frame === "") this.#asked.delete(id);
      asked.sent = false;
    }
    socket?.close();
  }

  #finish(why: Problem): void {
    if (this.#end) return;
    this.#end = why;
    clearTimeout(this.#retry);
    this.#detach();
    for (const stop of this.#stops) stop();
    for (const asked of this.#asked.values()) asked.fail(why);
    this.#asked.clear();
    this.#become("closed");
  }

  #become(state: LiveState): void {
    if (state === this.#state || this.#state === "closed") return;
    this.#state = state;
    for (const listener of this.#changed) listener(state);
  }

  // ---- the token

  async #renewInTime(): Promise<void> {
    clearTimeout(this.#renewal);
    const left = await this.#session.expiresInMs();
    clearTimeout(this.#renewal);
    const renew = () => void this.#renew(undefined);
    if (this.#socket) this.#renewal = setTimeout(renew, Math.max(1_000, left - RENEW_BEFORE_MS));
  }

  /** Brings the next token: in place of `used` if that was refused, else when this one ends soon. */
  async #renew(used: Grant | undefined): Promise<void> {
    try {
      this.#grant = used === undefined ? await this.#session.grant() : await this.#session.renew(used);
    } catch (fault) {
      return this.#afterToken(fault);
    }
    if (this.#socket && this.#state === "open") this.#signIn(this.#socket);
    else if (this.#state === "waiting") this.#later();
  }

  #afterToken(fault: unknown): void {
    if (fault instanceof Problem && [401, 403].includes(fault.status)) return this.#finish(fault);
    if (!this.#end && !this.#socket) this.#later();
  }

  // ---- frames

  #ask<T>(type: string, data: unknown, key: string | undefined, signal: AbortSignal): Promise<T> {
    if (this.#end) return Promise.reject(this.#end);
    return new Promise((resolve, reject) => {
      const id = this.#nextId++;
      const done = () => {
        this.#asked.delete(id);
        signal.removeEventListener("abort", aborted);
      };
      const aborted = () => {
        done();
        reject(signal.reason as Problem);
      };
      signal.addEventListener("abort", aborted);
      const asked: Asked = {
        frame: JSON.stringify({ id, type, data }),
        sent: false,
        settle: (reply) => {
          const problem = reply.type === "refused" ? new Problem(reply.problem, 0, key) : undefined;
          // It waits for the fresh token.
          if (problem && isAboutToken(problem)) return void this.#renew(this.#grant);
          done();
          if (reply.type === "refused") reject(problem);
          else resolve(reply.data as T);
        },
        fail: (problem) => {
          done();
          reject(problem);
        },
      };
      this.#asked.set(id, asked);
      if (this.#state === "open") this.#send(asked);
    });
  }

  #send(asked: Asked): void {
    if (asked.sent || !this.#socket) return;
    asked.sent = true;
    this.#socket.send(asked.frame);
  }

  #hear(text: string): void {
    this.#heardAt = Date.now();
    this.#pingedAt = undefined;
    const frame = JSON.parse(text) as ServerFrame;
    if (!("reply_to" in frame)) return this.#pushed(frame);
    const id = frame.reply_to as number | null;
    const asked = id === null ? undefined : this.#asked.get(id);
    if (id === null || !asked) return;
    asked.sent = false;
    if (asked.frame === "") this.#asked.delete(id);
    asked.settle(frame);
  }

  #pushed(frame: Push): void {
    const { type, offset, data } = frame;
    if (offset !== undefined) {
      if (offset <= this.#floor) return;
      this.#reach(offset);
    }
    if (type === "auth:expired") void this.#renew(this.#grant);
    for (const listener of this.#listeners.get(type) ?? []) listener(data as never, { offset });
  }

  #reach(revision: number): void {
    this.#reached = Math.max(this.#reached, revision);
    for (const listener of this.#progressed) listener(this.#reached);
  }

  /** Pings of the protocol are not shown to a program, so a quiet server is asked for its time. */
  #listenForSilence(): void {
    const now = Date.now();
    const { quietMs } = this.#settings;
    if (this.#pingedAt !== undefined) {
      // Closing a connection that is dead can take long; it is left behind.
      if (now - this.#pingedAt > quietMs) this.#lost(1006);
    } else if (now - this.#heardAt > quietMs) {
      this.#pingedAt = now;
      const socket = this.#socket;
      if (socket?.readyState === 1) socket.send(JSON.stringify({ id: this.#nextId++, type: "ping" }));
    }
  }
}

function ended(): Problem {
  return new Problem({ code: "session_ended", detail: "the session has ended" }, 401);
}

import type { components } from "./generated/http.js";
import type { Http } from "./http.js";
import { Problem } from "./problem.js";
import { exclusively, type Store } from "./store.js";

type Schemas = components["schemas"];

/** What is kept between two starts of the app. */
interface Kept {
  readonly person: string;
  readonly accessToken: string;
  /** By this device's clock. */
  readonly accessExpiresAt: number;
  readonly refreshToken: string;
}

/** What a request says who it is with. Two tokens of one second can be equal; the refresh tokens beside them never are. */
export type Grant = Pick<Kept, "accessToken" | "refreshToken">;

/** A code is on its way; give it to `finishSignIn`. */
export interface SignInStarted extends Readonly<Schemas["OtpStarted"]> {
  readonly phone: string;
}

/** A token that ends sooner than this is refreshed first. */
const MARGIN_MS = 30_000;
/** Phones whose device token is remembered. */
const DEVICES = 5;

/** The tokens of whoever is signed in. They are read from the store each time, since another tab may have renewed them. */
export class Session {
  readonly #http: Http;
  readonly #store: Store;
  readonly #name: string;
  readonly #ended = new Set<() => void>();

  constructor(http: Http, store: Store, name: string) {
    this.#http = http;
    this.#store = store;
    this.#name = name;
  }

  /** Calls back when the session has ended: by `signOut`, elsewhere, or by an admin. */
  onEnded(listener: () => void): () => void {
    this.#ended.add(listener);
    return () => this.#ended.delete(listener);
  }

  async startSignIn(phone: string, channel: Schemas["OtpChannel"]): Promise<SignInStarted> {
    const device = (await this.#devices())[phone];
    const body = { phone, channel, ...(device ? { device_token: device } : {}) };
    // Not sent again by itself: each one costs a message, and the phone has only so many.
    const started = await this.#http.send<Schemas["OtpStarted"]>("post", "/v1/auth/otp", { body, tries: 1 });
    return { ...started, phone };
  }

  async finishSignIn(started: SignInStarted, code: string): Promise<Schemas["PersonView"]> {
    const body = { phone: started.phone, challenge: started.challenge, code };
    const signedIn = await this.#http.send<Schemas["SignedIn"]>("post", "/v1/auth/otp/verify", { body, tries: 1 });
    await exclusively(this.#store, this.#name, () => this.#keep(signedIn.tokens));
    if (signedIn.device_token) await this.#rememberDevice(started.phone, signedIn.device_token);
    return signedIn.person;
  }

  /** Who is signed in on this device; `undefined` when nobody is. */
  async person(): Promise<string | undefined> {
    return (await this.#kept())?.person;
  }

  /** A token that is good for a while. */
  async grant(): Promise<Grant> {
    const kept = await this.#kept();
    if (!kept) throw new Problem({ code: "token_missing", detail: "nobody is signed in" }, 401);
    return kept.accessExpiresAt - MARGIN_MS > Date.now() ? kept : this.renew(kept);
  }

  /** How long the token of now is good. */
  async expiresInMs(): Promise<number> {
    return ((await this.#kept())?.accessExpiresAt ?? 0) - Date.now();
  }

  /** Gets the next token in place of one that is used up. Of many who ask at once, one goes to the server. */
  renew(used: Grant): Promise<Grant> {
    return exclusively(this.#store, this.#name, async () => {
      const kept = await this.#kept();
      if (!kept) throw new Problem({ code: "session_ended", detail: "nobody is signed in" }, 401);
      // Somebody else was faster.
      if (kept.refreshToken !== used.refreshToken) return kept;
      return this.#refresh(kept);
    });
  }

  async #refresh(kept: Kept): Promise<Grant> {
    try {
      // A reply that is lost is asked for again with the same token, which the server allows for a while.
      const body = { refresh_token: kept.refreshToken };
      const tokens = await this.#http.send<Schemas["Tokens"]>("post", "/v1/auth/refresh", { body });
      return await this.#keep(tokens);
    } catch (fault) {
      if (!(fault instanceof Problem) || ![401, 403].includes(fault.status)) throw fault;
      const now = await this.#kept();
      // A tab without a lock was faster, and its token is good.
      if (now && now.refreshToken !== kept.refreshToken) return now;
      await this.forget();
      throw fault;
    }
  }

  async signOut(everywhere: boolean): Promise<void> {
    try {
      const path = everywhere ? "/v1/auth/logout-everywhere" : "/v1/auth/logout";
      await this.#http.send("post", path, { token: (await this.grant()).accessToken });
    } catch (fault) {
      // What has ended already needs no end.
      if (!(fault instanceof Problem && fault.status === 401)) throw fault;
    } finally {
      await this.forget();
    }
  }

  async forget(): Promise<void> {
    await this.#store.removeItem(this.#name);
    for (const listener of this.#ended) listener();
  }

  async #keep(tokens: Schemas["Tokens"]): Promise<Kept> {
    const kept: Kept = {
      person: tokens.person,
      accessToken: tokens.access_token,
      accessExpiresAt: Date.now() + tokens.access_expires_in_seconds * 1_000,
      refreshToken: tokens.refresh_token,
    };
    await this.#store.setItem(this.#name, JSON.stringify(kept));
    return kept;
  }

  async #kept(): Promise<Kept | undefined> {
    return read<Kept>(await this.#store.getItem(this.#name));
  }

  async #devices(): Promise<Record<string, string>> {
    return read<Record<string, string>>(await this.#store.getItem(`${this.#name}.devices`)) ?? {};
  }

  async #rememberDevice(phone: string, token: string): Promise<void> {
    const others = Object.entries(await this.#devices()).filter(([other]) => other !== phone);
    const devices = Object.fromEntries([...others, [phone, token]].slice(-DEVICES));
    await this.#store.setItem(`${this.#name}.devices`, JSON.stringify(devices));
  }
}

function read<T>(text: string | null): T | undefined {
  try {
    return text === null ? undefined : (JSON.parse(text) as T);
  } catch {
    // Not ours, or broken: as if nobody had signed in.
    return undefined;
  }
}

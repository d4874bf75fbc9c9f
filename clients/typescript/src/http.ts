import { learnTime } from "./keys.js";
import { Problem, type ProblemBody } from "./problem.js";
import { type Patience, retrying } from "./retry.js";

export interface Sending {
  readonly body?: unknown;
  readonly token?: string | undefined;
  readonly key?: string | undefined;
  readonly query?: Readonly<Record<string, unknown>> | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly tries?: number | undefined;
}

/** Sends requests and reads answers; knows nothing of sessions. */
export class Http {
  readonly #base: string;
  readonly #fetch: typeof fetch;
  readonly #patience: Patience;
  readonly #timeoutMs: number;

  constructor(base: string, fetcher: typeof fetch, patience: Patience, timeoutMs: number) {
    this.#base = base;
    this.#fetch = fetcher;
    this.#patience = patience;
    this.#timeoutMs = timeoutMs;
  }

  /** The body of a good answer; anything else is thrown as a problem, after the tries that it is worth. */
  send<T>(method: string, path: string, sending: Sending): Promise<T> {
    const patience = sending.tries ? { ...this.#patience, tries: sending.tries } : this.#patience;
    return retrying(patience, () => this.#once<T>(method, path, sending), sending.signal);
  }

  async #once<T>(method: string, path: string, { body, token, key, query, signal }: Sending): Promise<T> {
    signal?.throwIfAborted();
    const headers: Record<string, string> = { accept: "application/json" };
    if (body !== undefined) headers["content-type"] = "application/json";
    if (token) headers["authorization"] = `Bearer ${token}`;
    if (key) headers["idempotency-key"] = key;
    const cut = new AbortController();
    const stop = () => cut.abort(signal?.reason);
    const timer = setTimeout(stop, this.#timeoutMs);
    signal?.addEventListener("abort", stop);
    try {
      const response = await this.#fetch(this.#base + path + queryOf(query), {
        method: method.toUpperCase(),
        headers,
        signal: cut.signal,
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      // A browser shows it only where the server lets it.
      learnTime(Date.parse(response.headers.get("date") ?? ""));
      const text = await response.text();
      if (!response.ok) throw new Problem(problemOf(text), response.status, key);
      return (text === "" ? undefined : JSON.parse(text)) as T;
    } catch (fault) {
      if (fault instanceof Problem) throw fault;
      signal?.throwIfAborted();
      throw Problem.unreachable(key, fault);
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener("abort", stop);
    }
  }
}

function queryOf(query: Readonly<Record<string, unknown>> = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null);
  if (given.length === 0) return "";
  return `?${given.map(([name, value]) => `${name}=${encodeURIComponent(String(value))}`).join("&")}`;
}

function problemOf(text: string): ProblemBody {
  try {
    const body: unknown = JSON.parse(text);
    return typeof body === "object" && body !== null ? (body as ProblemBody) : {};
  } catch {
    return {};
  }
}

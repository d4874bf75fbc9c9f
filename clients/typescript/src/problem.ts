import type { ServerCode } from "./generated/operations.js";

/** Codes of the client itself: no reply came, the socket was closed for good, or the reply is nobody's of ours. */
export type ClientCode = "unreachable" | "closed" | "too_many_sockets" | "unreadable_answer";
/** A server that is newer than this client may have further codes. */
export type Code = ServerCode | ClientCode | (string & {});

/** What the server says of an error, as its document describes it. */
export type ProblemBody = Readonly<Record<string, unknown>>;

/**
 * A request that was not done, or whose outcome nobody told. Decide by `code`. `unreachable` is the client's own code:
 * no answer came, and with a key the same request may be sent again.
 */
export class Problem extends Error {
  override readonly name = "Problem";
  readonly code: Code;
  /** The status of HTTP; 0 when no answer came. */
  readonly status: number;
  /** The field of the request that is wrong. */
  readonly field: string | undefined;
  /** The figures of the case, such as `needed_milli`. */
  readonly members: Readonly<Record<string, unknown>>;
  /** The idempotency key of the request: send it again with this key and it is still carried out only once. */
  readonly key: string | undefined;

  constructor(body: ProblemBody, status: number, key?: string, cause?: unknown) {
    super(text(body["detail"]) ?? `the server answered with status ${status}`, { cause });
    this.code = text(body["code"]) ?? "unreadable_answer";
    this.status = typeof body["status"] === "number" ? body["status"] : status;
    this.field = text(body["field"]);
    this.members = body;
    this.key = key;
  }

  static unreachable(key?: string, cause?: unknown): Problem {
    return new Problem({ code: "unreachable", detail: "the server did not answer" }, 0, key, cause);
  }

  /** When the server wants to be asked again, in milliseconds; `undefined` if asking again does not help. */
  get retryAfterMs(): number | undefined {
    const seconds = this.members["retry_after_seconds"];
    if (typeof seconds === "number") return seconds * 1_000;
    const proxy = this.code === "unreadable_answer" && PROXY.has(this.status);
    return proxy || RETRIED.has(this.code) ? 0 : undefined;
  }
}

function text(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** Codes that go away by themselves, also where the server does not say when. */
const RETRIED: ReadonlySet<string> = new Set([
  "unreachable",
  "timeout",
  "outcome_unknown",
  "busy",
  "unavailable",
  "store_unavailable",
  "read_model_behind",
  "clock_leap",
]);

/** What a proxy says, in words of its own, while the server behind it is away. */
const PROXY: ReadonlySet<number> = new Set([502, 503, 504]);

/** The token was refused, so that a fresh one may help. */
export function isAboutToken(problem: Problem): boolean {
  return problem.code === "token_expired" || problem.code === "token_invalid";
}

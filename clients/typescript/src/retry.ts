import { Problem } from "./problem.js";

/** How often and how long a request is sent again. */
export interface Patience {
  /** Tries of one request, the first one included. */
  readonly tries: number;
  /** A problem that asks for a longer pause than this is given to the caller at once. */
  readonly longestPauseMs: number;
}

export const PATIENCE: Patience = { tries: 4, longestPauseMs: 5_000 };

/** Sends until it is done, the problem is one that stays, or patience ends. */
export async function retrying<T>(
  patience: Patience,
  send: () => Promise<T>,
  signal?: AbortSignal | undefined,
): Promise<T> {
  for (let tried = 1; ; tried++) {
    try {
      return await send();
    } catch (fault) {
      signal?.throwIfAborted();
      if (!(fault instanceof Problem) || tried >= patience.tries) throw fault;
      const after = fault.retryAfterMs;
      if (after === undefined || after > patience.longestPauseMs) throw fault;
      await pause(after > 0 ? after : backOff(tried, 200, patience.longestPauseMs), signal);
    }
  }
}

/** Doubles with each try; half of it is chance, so that many clients do not come back together. */
export function backOff(tried: number, firstMs: number, longestMs: number): number {
  const whole = Math.min(longestMs, firstMs * 2 ** (tried - 1));
  return whole / 2 + (Math.random() * whole) / 2;
}

function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const wake = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", wake);
      if (signal?.aborted) reject(signal.reason as Error);
      else resolve();
    };
    const timer = setTimeout(wake, ms);
    if (signal?.aborted) wake();
    signal?.addEventListener("abort", wake);
  });
}

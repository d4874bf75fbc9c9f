import type { Pushes, Schemas } from "./types.js";

type Call = Schemas["CallView"];

const BEGUN = new Set<Call["status"]>(["accepted", "running", "paused", "ended"]);

/** What `call:answered` told of this call; nothing while it rings. */
export function answerOf({ call, status }: Call): Pushes["call:answered"] | undefined {
  return status === "ringing" ? undefined : { call, accepted: BEGUN.has(status) };
}

/** What `call:ended` told of this call; nothing while it goes on. */
export function endOf({ call, status, outcome }: Call): Pushes["call:ended"] | undefined {
  if (["ringing", "accepted", "running", "paused"].includes(status)) return undefined;
  return { call, reason: outcome?.end_reason ?? status } as Pushes["call:ended"];
}

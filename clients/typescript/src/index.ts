export { answerOf, endOf } from "./calls.js";
export { Muneem, type Settings } from "./client.js";
export { newKey } from "./keys.js";
export { type LiveSettings, LiveSocket, type LiveState } from "./live.js";
export { type Code, Problem, type ProblemBody } from "./problem.js";
export type { Patience } from "./retry.js";
export type { SignInStarted } from "./session.js";
export { MemoryStore, type Store } from "./store.js";
export type {
  Answer,
  Pushes,
  Schemas,
  SocketAnswers,
  SocketFields,
  SocketRequests,
  Welcome,
} from "./types.js";

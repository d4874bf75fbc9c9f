import type { components as gateway } from "./generated/gateway.js";
import type { components, paths } from "./generated/http.js";

/** Every schema of the HTTP API by name. */
export type Schemas = components["schemas"];

export type Method = "get" | "post" | "put" | "patch" | "delete";
export type PathOf<M extends Method> = { [P in keyof paths]: paths[P][M] extends object ? P : never }[keyof paths];
type Operation<P extends keyof paths, M extends Method> = paths[P][M];

type Part<O, Name extends string> = O extends { parameters: infer All }
  ? Name extends keyof All
    ? All[Name]
    : never
  : never;
type Required_<Name extends string, T> = [T] extends [never]
  ? unknown
  : [T] extends [undefined]
    ? unknown
    : undefined extends T
      ? { readonly [N in Name]?: T }
      : { readonly [N in Name]: T };
type Body<O> = O extends { requestBody: { content: { "application/json": infer B } } } ? B : never;

/** What every request may be told. */
export interface Common {
  /** An idempotency key of your own, to go on with a request of an earlier start of the app. */
  readonly key?: string;
  readonly signal?: AbortSignal;
}

export type RequestOptions<P extends keyof paths, M extends Method> = Common &
  Required_<"path", Part<Operation<P, M>, "path">> &
  Required_<"query", Part<Operation<P, M>, "query">> &
  Required_<"body", Body<Operation<P, M>>>;

/** Options that may be left out where none is required. */
export type Options<P extends keyof paths, M extends Method> = object extends RequestOptions<P, M>
  ? [options?: RequestOptions<P, M>]
  : [options: RequestOptions<P, M>];

type Good = 200 | 201 | 202 | 204;
type Content<R> = R extends { content: { "application/json": infer B } } ? B : undefined;
/** What a good answer holds. */
export type Answer<P extends keyof paths, M extends Method> =
  Operation<P, M> extends { responses: infer R }
    ? { [S in keyof R & Good]: Content<R[S]> }[keyof R & Good]
    : never;

/** What the server pushes, by name. */
export type Pushes = gateway["schemas"]["Pushes"];
/** What can be asked for over the socket, by name. */
export type SocketRequests = gateway["schemas"]["Requests"];
export type SocketAnswers = gateway["schemas"]["Answers"];
/** Any frame that the server sends, known by its `type`. */
export type ServerFrame = gateway["schemas"]["ServerFrame"];
/** What the server answers when the socket has signed in. */
export type Welcome = gateway["schemas"]["Welcome"];
/** The fields of a socket request; the client makes the key where none is given. */
export type SocketFields<N extends keyof SocketRequests> = SocketRequests[N] extends { key: string }
  ? Omit<SocketRequests[N], "key"> & { readonly key?: string }
  : SocketRequests[N];

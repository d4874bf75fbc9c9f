import assert from "node:assert/strict";
import { Muneem, newKey, Problem } from "../src/index.js";
import { story, theWorld } from "./the-world.js";

interface Sent {
  readonly method: string;
  readonly path: string;
  readonly key: string | null;
  readonly minRevision: string | null;
}

/** Notes what is sent; `instead` may answer in place of the server, before or after it has done its part. */
function wire(instead: (sent: Sent, times: number, real: () => Promise<Response>) => Promise<Response>) {
  const sent: Sent[] = [];
  const fetcher: typeof fetch = (url, init) => {
    const { pathname, searchParams } = new URL(String(url));
    const key = new Headers(init?.headers).get("idempotency-key");
    const one = { method: init?.method ?? "GET", path: pathname, key, minRevision: searchParams.get("min_revision") };
    sent.push(one);
    const times = sent.filter((it) => it.method === one.method && it.path === one.path).length;
    return instead(one, times, () => fetch(url, init));
  };
  return { sent, fetch: fetcher };
}

const untouched = (_: Sent, __: number, real: () => Promise<Response>) => real();

async function rose() {
  const world = theWorld();
  return (await world.admin.client.get("/v1/gifts")).items[0]!;
}

function problem(status: number, body: Record<string, unknown>): Response {
  const headers = { "content-type": "application/problem+json" };
  return new Response(JSON.stringify({ status, ...body }), { status, headers });
}

story("a gift reaches its host by socket, and the sender's next read includes it", async () => {
  const world = theWorld();
  const { sent, fetch } = wire(untouched);
  const [user, host, gift] = [await world.newUserWith(50_000, { fetch }), await world.newHost(), await rose()];
  const live = host.client.live();
  await live.ready();
  const received = live.next("gift:sent");
  const body = { host: host.id, price_seen_milli: gift.price_milli };
  const receipt = await user.client.post("/v1/gifts/{gift}/send", { path: { gift: gift.gift }, body });
  const told = await received;
  assert.equal(told.sending, receipt.sending);
  assert.equal(told.price_milli, gift.price_milli);
  const lines = await user.client.get("/v1/wallet/statement");
  assert.equal(lines.items[0]?.type, "gift", "the newest line of the statement");
  assert.equal(sent.at(-1)?.minRevision, String(receipt.revision));
  live.close();
});

story("a gift whose reply is lost is sent again under its key and charged once", async () => {
  const world = theWorld();
  const lossy = wire(async (one, times, real) => {
    const response = await real();
    if (one.path.endsWith("/send") && times < 3) throw new TypeError("the reply is lost");
    return response;
  });
  const user = await world.newUserWith(50_000, { fetch: lossy.fetch });
  const [host, gift] = [await world.newHost(), await rose()];
  const body = { host: host.id, price_seen_milli: gift.price_milli };
  await user.client.post("/v1/gifts/{gift}/send", { path: { gift: gift.gift }, body });
  const keys = lossy.sent.filter((it) => it.path.endsWith("/send")).map((it) => it.key);
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1, "one key for all tries");
  const wallet = await user.client.get("/v1/wallet");
  assert.equal(wallet.spendable_milli, 50_000 - gift.price_milli, "charged once");
});

story("two requests have two keys, and a key of one's own is used as it is", async () => {
  const world = theWorld();
  const { sent, fetch } = wire(untouched);
  const [user, host, gift] = [await world.newUserWith(50_000, { fetch }), await world.newHost(), await rose()];
  const options = { path: { gift: gift.gift }, body: { host: host.id, price_seen_milli: gift.price_milli } };
  const key = newKey();
  const first = await user.client.post("/v1/gifts/{gift}/send", { ...options, key });
  const again = await user.client.post("/v1/gifts/{gift}/send", { ...options, key });
  assert.equal(again.sending, first.sending, "the same request");
  assert.notEqual((await user.client.post("/v1/gifts/{gift}/send", options)).sending, first.sending);
  const keys = sent.filter((it) => it.path.endsWith("/send")).map((it) => it.key);
  assert.deepEqual(keys.slice(0, 2), [key, key]);
  assert.notEqual(keys[2], key);
});

story("what is tried again goes by the code of the problem", async () => {
  const world = theWorld();
  const cases: [what: string, answer: () => Response, tries: number][] = [
    ["a busy ledger", () => problem(503, { code: "busy", retry_after_seconds: 0.01 }), 4],
    ["an unknown outcome", () => problem(504, { code: "outcome_unknown" }), 4],
    ["a proxy without its server", () => new Response("<html>Bad gateway</html>", { status: 502 }), 4],
    ["a limit that ends soon", () => problem(429, { code: "rate_limited", retry_after_seconds: 0.01 }), 4],
    ["a limit that ends in a day", () => problem(429, { code: "rate_limited", retry_after_seconds: 86_400 }), 1],
    ["a fault of the server", () => problem(500, { code: "internal" }), 1],
    ["read models that need an operator", () => problem(503, { code: "read_models_refused" }), 1],
    ["a refusal", () => problem(409, { code: "plan_inactive" }), 1],
  ];
  for (const [what, answer, tries] of cases) {
    const { sent, fetch } = wire(async (one, _, real) => (one.path === "/v1/purchases" ? answer() : real()));
    const user = await world.newUser({ fetch, patience: { longestPauseMs: 50 } });
    const bought = user.client.post("/v1/purchases", { body: { plan: newKey() } });
    const fault = await bought.then(
      () => assert.fail("it was refused"),
      (it: unknown) => it,
    );
    const asked = sent.filter((it) => it.path === "/v1/purchases");
    assert.equal(asked.length, tries, what);
    assert.ok(fault instanceof Problem);
    assert.equal(fault.key, asked[0]?.key, `${what}: the problem names the key for another try`);
  }
});

story("a refusal of the ledger has its code and its figures", async () => {
  const world = theWorld();
  const [user, host, gift] = [await world.newUser(), await world.newHost(), await rose()];
  const body = { host: host.id, price_seen_milli: gift.price_milli };
  const refused = user.client.post("/v1/gifts/{gift}/send", { path: { gift: gift.gift }, body });
  await assert.rejects(refused, (fault) => {
    assert.ok(fault instanceof Problem);
    assert.deepEqual([fault.code, fault.status], ["insufficient_funds", 409]);
    assert.equal(fault.members["needed_milli"], gift.price_milli);
    return true;
  });
});

story("a server that nobody reaches is told as such", async () => {
  const client = theWorld().admin.client;
  const away = new Muneem({ baseUrl: "http://127.0.0.1:1", patience: { longestPauseMs: 10 } });
  await assert.rejects(away.startSignIn("+919812345678"), { code: "unreachable", status: 0 });
  const cut = AbortSignal.abort(new Error("the page was left"));
  await assert.rejects(client.get("/v1/me", { signal: cut }), /the page was left/);
});

story("receipts of a journal that was restored to an earlier state are let go", async () => {
  const world = theWorld();
  const { sent, fetch } = wire(async (one, _, real) => {
    const beyond = { code: "min_revision_beyond_journal", detail: "the journal has no such revision" };
    return one.minRevision === null ? real() : problem(422, beyond);
  });
  const user = await world.newUserWith(50_000, { fetch });
  const live = user.client.live();
  await live.ready();
  await user.client.get("/v1/wallet");
  const asked = sent.filter((it) => it.path === "/v1/wallet");
  assert.deepEqual(asked.map((it) => it.minRevision !== null), [true, false]);
  live.close();
});

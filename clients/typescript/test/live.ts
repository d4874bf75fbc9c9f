import assert from "node:assert/strict";
import { endOf, type LiveSocket, type LiveState, Muneem, Problem } from "../src/index.js";
import { Proxy } from "./proxy.js";
import { story, theWorld } from "./the-world.js";
import { codeFor, type Person, PRICE } from "./world.js";

/** Short, so that the stories are. */
const QUICK = { quietMs: 200, firstPauseMs: 20, longestPauseMs: 200 };

/** The same person behind a wire that can be cut: HTTP and socket. */
async function behind(proxy: Proxy, person: Person): Promise<Muneem> {
  const client = new Muneem({ baseUrl: proxy.url, live: QUICK });
  const { url } = theWorld().server;
  await client.finishSignIn(await client.startSignIn(person.phone), await codeFor(url, person.phone));
  return client;
}

/** Resolves when the socket comes to a state that it is not in yet. */
function becomes(live: LiveSocket, wanted: LiveState): Promise<void> {
  return new Promise((resolve) => {
    const stop = live.onState((state) => {
      if (state !== wanted) return;
      stop();
      resolve();
    });
  });
}

async function withProxy(story: (proxy: Proxy) => Promise<void>): Promise<void> {
  const proxy = await Proxy.to(theWorld().server.port);
  try {
    await story(proxy);
  } finally {
    proxy.close();
  }
}

story("a call rings, is taken, is charged, and ends; both sides hear of it by name", async () => {
  const world = theWorld();
  const [user, host] = [await world.newUserWith(1_000_000), await world.newHost()];
  const [atUser, atHost] = [user.client.live(), host.client.live()];
  await Promise.all([atUser.ready(), atHost.ready()]);
  const rings = atHost.next("call:invited");
  const invitation = { host: host.id, medium: "video", price_seen_milli_per_minute: PRICE } as const;
  const ring = await atUser.request("call:invite", invitation);
  assert.equal((await rings).payer, user.id);
  const [charged, started] = [atUser.next("call:ticked"), atHost.next("call:started")];
  const taken = await atHost.request("call:answer", { call: ring.call, accept: true });
  assert.equal(taken.accepted, true);
  assert.equal((await started).call, ring.call);
  assert.equal((await charged).number, 1);
  const over = atUser.next("call:ended");
  await atHost.request("call:end", { call: ring.call });
  assert.deepEqual([(await over).reason, (await over).ended_by], ["hung_up", host.id]);
  const shown = await user.client.get("/v1/calls/{call}", { path: { call: ring.call } });
  assert.equal(shown.status, "ended", "the read waits for what the socket told");
  atUser.close();
  atHost.close();
});

story("a connection that breaks comes back, and says that something was missed", () =>
  withProxy(async (proxy) => {
    const world = theWorld();
    const user = await world.newUserWith(50_000);
    const live = (await behind(proxy, user)).live();
    const first = await live.ready();
    const away = becomes(live, "waiting");
    proxy.cutAndRefuse();
    await away;
    await world.admin.client.post("/v1/admin/bonuses", { body: { user: user.id, coins_milli: 1_000 } });
    const back = new Promise<[number, boolean]>((resolve) => {
      live.onWelcome((welcome, { missed }) => resolve([welcome.offset, missed]));
    });
    proxy.restore();
    const [offset, missed] = await back;
    assert.ok(offset > first.offset);
    assert.equal(missed, true);
    live.close();
  }));

story("a push that was lost with its connection is made up for when the socket is back", () =>
  withProxy(async (proxy) => {
    const world = theWorld();
    const [user, host] = [await world.newUserWith(1_000_000), await world.newHost()];
    const client = await behind(proxy, user);
    const [live, atHost] = [client.live(), host.client.live()];
    await Promise.all([live.ready(), atHost.ready()]);
    const rings = atHost.next("call:invited");
    const { call } = await live.request("call:invite", { host: host.id, medium: "chat", price_seen_milli_per_minute: PRICE });
    await rings;
    const asked = async () => endOf(await client.get("/v1/calls/{call}", { path: { call } }));
    const over = live.next("call:ended", (end) => end.call === call, asked);
    const away = becomes(live, "waiting");
    proxy.cutAndRefuse();
    await away;
    await atHost.request("call:answer", { call, accept: false });
    proxy.restore();
    assert.deepEqual(await over, { call, reason: "rejected" });
    live.close();
    atHost.close();
  }));

story("a server that nobody listens for is tried again after a short pause, and found when it is back", () =>
  withProxy(async (proxy) => {
    const user = await theWorld().newUser();
    const live = (await behind(proxy, user)).live();
    await live.ready();
    const { port } = proxy;
    let tries = 0;
    live.onState((state) => void (tries += Number(state === "connecting")));
    const thrice = new Promise<void>((resolve) => live.onState(() => void (tries >= 3 && resolve())));
    await proxy.leave();
    await thrice;
    await proxy.comeBack(port);
    await live.ready();
    live.close();
  }));

story("who waits for a push hears that the socket has closed", async () => {
  const user = await theWorld().newUser();
  const live = user.client.live();
  await live.ready();
  const waiting = live.next("call:invited");
  live.close();
  const closed = (fault: unknown) => fault instanceof Problem && fault.code === "closed";
  await assert.rejects(waiting, closed);
  await assert.rejects(live.next("call:invited"), closed);
});

story("a request whose connection breaks is sent again under its key", () =>
  withProxy(async (proxy) => {
    const world = theWorld();
    const [user, host] = [await world.newUserWith(50_000), await world.newHost()];
    const gift = (await user.client.get("/v1/gifts")).items[0]!;
    const live = (await behind(proxy, user)).live();
    await live.ready();
    const heard = host.client.live();
    await heard.ready();
    const arrived = heard.next("gift:sent");
    proxy.mute();
    const sent = live.request("gift:send", { host: host.id, gift: gift.gift, price_seen_milli: gift.price_milli });
    await arrived;
    proxy.restore();
    const receipt = await sent;
    assert.equal(receipt.sending, (await arrived).sending);
    const wallet = await user.client.get("/v1/wallet", { query: { min_revision: receipt.revision } });
    assert.equal(wallet.spendable_milli, 50_000 - gift.price_milli, "charged once");
    live.close();
    heard.close();
  }));

story("a server that has gone without a word is noticed", () =>
  withProxy(async (proxy) => {
    const user = await theWorld().newUser();
    const live = (await behind(proxy, user)).live();
    await live.ready();
    const before = proxy.connections;
    const away = becomes(live, "waiting");
    proxy.silence();
    await away;
    proxy.restore();
    live.retryNow();
    await live.ready();
    assert.ok(proxy.connections > before, "it is another connection");
    live.close();
  }));

story("a quiet connection is kept: the server answers when it is asked", () =>
  withProxy(async (proxy) => {
    const user = await theWorld().newUser();
    const client = await behind(proxy, user);
    const live = client.live();
    await live.ready();
    const before = proxy.connections;
    // Longer than a silence that ends a connection; only time shows that nothing happens.
    await new Promise((resolve) => setTimeout(resolve, 5 * QUICK.quietMs));
    assert.equal(live.state, "open");
    assert.equal(proxy.connections, before);
    live.close();
  }));

story("the socket ends with the session, and what was asked is told so", async () => {
  const user = await theWorld().newUser();
  const live = user.client.live();
  await live.ready();
  const ended = becomes(live, "closed");
  await user.client.signOut();
  await ended;
  const refused = (fault: unknown) => fault instanceof Problem && fault.code === "session_ended";
  await assert.rejects(live.request("ping", {}), refused);
  await assert.rejects(live.ready(), refused);
});

story("a ninth socket of one person closes the oldest, which does not fight back", async () => {
  const user = await theWorld().newUser();
  const first = user.client.live();
  await first.ready();
  const closed = becomes(first, "closed");
  const others: LiveSocket[] = [];
  for (let more = 0; more < 8; more++) {
    others.push(user.client.live());
    await others.at(-1)!.ready();
  }
  await closed;
  await assert.rejects(first.ready(), (fault) => fault instanceof Problem && fault.code === "too_many_sockets");
  for (const other of others) other.close();
});

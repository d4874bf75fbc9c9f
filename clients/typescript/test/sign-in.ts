import assert from "node:assert/strict";
import { MemoryStore, Muneem, Problem, type Store } from "../src/index.js";
import { story, theWorld } from "./the-world.js";
import { codeFor, newPhone, signIn } from "./world.js";

/** Another look at the same store, as each tab of a browser has one: there is no lock between them. */
function tabOf(store: Store): Store {
  return {
    getItem: (name) => store.getItem(name),
    setItem: (name, value) => store.setItem(name, value),
    removeItem: (name) => store.removeItem(name),
  };
}

/** What is kept of the session, changed as if time had passed. */
async function age(store: Store, url: string, change: Record<string, unknown>): Promise<void> {
  const name = `muneem ${url}`;
  const kept = JSON.parse((await store.getItem(name))!) as object;
  await store.setItem(name, JSON.stringify({ ...kept, ...change }));
}

/** Counts requests to a path, and may lose replies after the server has done its part. */
function wire(path: string, loses = 0) {
  const seen = { asked: 0 };
  const fetcher: typeof fetch = async (url, init) => {
    const response = await fetch(url, init);
    if (!String(url).endsWith(path)) return response;
    seen.asked += 1;
    if (seen.asked > loses) return response;
    await response.arrayBuffer();
    throw new TypeError("the connection broke before the reply came");
  };
  return { seen, fetch: fetcher };
}

story("a token that is used up is refreshed before it is sent", async () => {
  const { url } = theWorld().server;
  const { seen, fetch } = wire("/v1/auth/refresh");
  const user = await signIn(url, newPhone(), { fetch });
  await age(user.store, url, { accessExpiresAt: Date.now() - 1 });
  assert.equal((await user.client.get("/v1/me")).person, user.id);
  assert.equal(seen.asked, 1);
});

story("what is open to anybody is read before anybody has signed in", async () => {
  const client = new Muneem({ baseUrl: theWorld().server.url });
  assert.ok((await client.get("/v1/coin-plans")).items.length > 0);
  await assert.rejects(client.get("/v1/me"), { code: "token_missing", status: 401 });
});

story("a token that the server refuses is refreshed and the request is sent again", async () => {
  const { url } = theWorld().server;
  const user = await signIn(url, newPhone());
  await age(user.store, url, { accessToken: "not.a.token" });
  assert.equal((await user.client.get("/v1/me")).person, user.id);
});

story("a refresh whose reply is lost is asked for again and the session goes on", async () => {
  const { url } = theWorld().server;
  const { seen, fetch } = wire("/v1/auth/refresh", 2);
  const user = await signIn(url, newPhone(), { fetch });
  await age(user.store, url, { accessExpiresAt: 0 });
  assert.equal((await user.client.get("/v1/me")).person, user.id);
  assert.equal(seen.asked, 3, "two replies were lost");
  await age(user.store, url, { accessExpiresAt: 0 });
  assert.equal((await user.client.get("/v1/me")).person, user.id, "what is kept is the token of the last reply");
});

story("of ten requests at once one refreshes", async () => {
  const { url } = theWorld().server;
  const { seen, fetch } = wire("/v1/auth/refresh");
  const user = await signIn(url, newPhone(), { fetch });
  await age(user.store, url, { accessExpiresAt: 0 });
  await Promise.all(Array.from({ length: 10 }, () => user.client.get("/v1/me")));
  assert.equal(seen.asked, 1);
});

story("ten tabs without a lock between them refresh at once and all stay signed in", async () => {
  const { url } = theWorld().server;
  const first = await signIn(url, newPhone());
  const tabs = Array.from({ length: 10 }, () => new Muneem({ baseUrl: url, store: tabOf(first.store) }));
  for (let round = 0; round < 3; round++) {
    await age(first.store, url, { accessExpiresAt: 0 });
    const names = await Promise.all(tabs.map((tab) => tab.get("/v1/me")));
    assert.deepEqual(new Set(names.map((me) => me.person)), new Set([first.id]), `round ${round}`);
  }
});

story("a session that was ended elsewhere is forgotten, and who listens is told", async () => {
  const { url } = theWorld().server;
  const phone = newPhone();
  const [here, elsewhere] = [await signIn(url, phone), await signIn(url, phone)];
  let told = 0;
  here.client.onSignedOut(() => told++);
  await elsewhere.client.signOut({ everywhere: true });
  await assert.rejects(here.client.get("/v1/me"), (fault) => fault instanceof Problem && fault.status === 401);
  assert.equal(told, 1);
  assert.equal(await here.client.person(), undefined);
});

story("a session whose refresh is refused is over", async () => {
  const { url } = theWorld().server;
  const phone = newPhone();
  const [here, elsewhere] = [await signIn(url, phone), await signIn(url, phone)];
  let told = 0;
  here.client.onSignedOut(() => told++);
  await elsewhere.client.signOut({ everywhere: true });
  await age(here.store, url, { accessExpiresAt: 0 });
  await assert.rejects(here.client.get("/v1/me"), (fault) => fault instanceof Problem && fault.status === 401);
  assert.equal(told, 1);
  assert.equal(await here.client.person(), undefined);
});

story("the app starts again with the session that it kept", async () => {
  const { url } = theWorld().server;
  const user = await signIn(url, newPhone());
  const again = new Muneem({ baseUrl: `${url}/`, store: user.store });
  assert.equal(await again.person(), user.id);
  assert.equal((await again.get("/v1/me")).person, user.id);
  await again.signOut();
  assert.equal(await user.client.person(), undefined, "they share the store");
});

story("a wrong code is a problem with its code, and the right one still signs in", async () => {
  const { url } = theWorld().server;
  const client = new Muneem({ baseUrl: url, store: new MemoryStore() });
  const phone = newPhone();
  const started = await client.startSignIn(phone);
  const code = await codeFor(url, phone);
  const wrong = code === "000000" ? "000001" : "000000";
  const refused = (fault: unknown) => fault instanceof Problem && fault.code === "otp_invalid";
  await assert.rejects(client.finishSignIn(started, wrong), refused);
  assert.equal(await client.person(), undefined);
  await client.finishSignIn(started, code);
  assert.ok(await client.person());
});

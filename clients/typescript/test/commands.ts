import assert from "node:assert/strict";
import { test } from "node:test";
import { theWorld } from "./the-world.js";

test("a gift reaches its host by socket, and the sender's next read includes it", async () => {
  const world = theWorld();
  const [user, host] = [await world.newUserWith(50_000), await world.newHost()];
  const live = host.client.live();
  await live.ready();
  const received = live.next("gift:sent");
  const rose = (await user.client.get("/v1/gifts")).items[0]!;
  const sent = await user.client.post("/v1/gifts/{gift}/send", {
    path: { gift: rose.gift },
    body: { host: host.id, price_seen_milli: rose.price_milli },
  });
  const told = await received;
  assert.equal(told.sending, sent.sending);
  assert.equal(told.price_milli, rose.price_milli);
  const wallet = await user.client.get("/v1/wallet");
  assert.equal(wallet.spendable_milli, 50_000 - rose.price_milli);
  live.close();
});

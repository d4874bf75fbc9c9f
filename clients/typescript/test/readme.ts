import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { chatAndCall } from "../examples/chat-and-call.js";
import { story, theWorld } from "./the-world.js";
import { codeFor, PRICE } from "./world.js";

story("the example of the README is the one that is tested", async () => {
  const readme = await readFile("README.md", "utf8");
  const example = await readFile("examples/chat-and-call.ts", "utf8");
  assert.ok(readme.includes(`\`\`\`ts\n${example}\`\`\``), "README.md holds examples/chat-and-call.ts word for word");
});

story("the example of the README chats, calls, sends a gift and pays for it", async () => {
  const world = theWorld();
  const [user, host] = [await world.newUserWith(1_000_000), await world.newHost()];
  const atHost = host.client.live();
  const heard: string[] = [];
  atHost.on("call:invited", ({ call, medium }) => {
    heard.push(medium);
    void atHost.request("call:answer", { call, accept: true });
  });
  atHost.on("gift:sent", () => heard.push("gift"));
  await atHost.ready();
  const { url } = world.server;
  const call = await chatAndCall(url, user.phone, () => codeFor(url, user.phone));
  atHost.close();
  assert.deepEqual(heard, ["chat", "video", "gift"]);
  assert.equal(call.status, "ended");
  assert.equal(call.medium, "video");
  assert.equal(call.outcome?.charged_milli, PRICE / 6, "the first increment, of ten seconds");
  const wallet = await user.client.get("/v1/wallet");
  const gift = (await user.client.get("/v1/gifts")).items[0]!;
  assert.equal(wallet.spendable_milli, 1_000_000 - 2 * (PRICE / 6) - gift.price_milli);
});

import { answerOf, endOf, Muneem, Problem } from "muneem-client";

/** A user finds a host who is online, chats for a while, then calls, and reads what it cost. */
export async function chatAndCall(baseUrl: string, phone: string, askForCode: () => Promise<string>) {
  const muneem = new Muneem({ baseUrl });
  if (!(await muneem.person())) {
    const started = await muneem.startSignIn(phone, "sms");
    await muneem.finishSignIn(started, await askForCode());
  }

  // One socket for the whole app. It comes back by itself; being connected is what makes a call run.
  const live = muneem.live();
  live.on("wallet:updated", (wallet) => console.log(`you have ${wallet.spendable_milli / 1000} coins`));
  live.on("call:warned", ({ seconds_left }) => console.log(`coins for ${seconds_left} more seconds`));
  live.on("call:paused", () => console.log("the other side is away, nothing is charged"));
  live.onWelcome((_, { missed }) => missed && console.log("back again: read what is shown once more"));
  await live.ready();

  const [host] = (await muneem.get("/v1/hosts", { query: { online: true } })).items;
  if (!host) throw new Error("nobody is online");

  // Rings, and resolves when the call is over. The key of each request is made, and kept while it is sent again.
  async function talk(medium: "chat" | "video", during: (call: string) => Promise<void>) {
    const price = host!.rates.find((rate) => rate.medium === medium)?.price_milli_per_minute ?? 0;
    const fields = { host: host!.person, medium, price_seen_milli_per_minute: price };
    const { call } = await live.request("call:invite", fields);
    // A push can get lost with its connection: each time the socket is back, the call says how it stands.
    const now = () => muneem.get("/v1/calls/{call}", { path: { call } });
    const over = live.next("call:ended", (end) => end.call === call, async () => endOf(await now()));
    const taken = live.next("call:answered", (it) => it.call === call, async () => answerOf(await now()));
    // Nobody may answer, and the ring ends.
    const answer = await Promise.race([taken, over]);
    if ("accepted" in answer && answer.accepted) {
      await during(call);
      await live.request("call:end", { call });
      console.log(`${medium} ended: ${(await over).reason}`);
    }
    return call;
  }

  try {
    await talk("chat", async () => console.log("chatting; each increment is charged as it begins"));
    const call = await talk("video", async (call) => {
      const [gift] = (await muneem.get("/v1/gifts")).items;
      const body = { host: host.person, call, price_seen_milli: gift!.price_milli };
      await muneem.post("/v1/gifts/{gift}/send", { path: { gift: gift!.gift }, body });
    });
    // Includes all of the above: reads wait for what this client has written and heard.
    return await muneem.get("/v1/calls/{call}", { path: { call } });
  } catch (fault) {
    if (fault instanceof Problem && fault.code === "insufficient_funds") console.log("time to buy coins");
    throw fault;
  } finally {
    live.close();
  }
}

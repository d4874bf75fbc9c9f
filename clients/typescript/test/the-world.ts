// All stories share one server: it takes longer to start than most of them take to tell.
import { after, before, test } from "node:test";
import { World } from "./world.js";

let world: World | undefined;

before(async () => {
  world = await World.start();
});
after(() => world?.stop());

export function theWorld(): World {
  if (!world) throw new Error("a story is told before its world is made");
  return world;
}

/** A test that has to end: one that waits for what never comes fails under its own name. */
export function story(name: string, tell: () => Promise<void>): void {
  void test(name, { timeout: 20_000 }, tell);
}

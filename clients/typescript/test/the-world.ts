// All stories share one server: it takes longer to start than most of them take to tell.
import { after, before } from "node:test";
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

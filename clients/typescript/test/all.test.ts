import "./the-world.js";
import "./commands.js";

import "./the-world.js";
import "./sign-in.js";
import "./commands.js";
import "./live.js";
import "./readme.js";

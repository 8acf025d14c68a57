export { program as default } from "./program.js";

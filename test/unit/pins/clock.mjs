/* Loaded before a program (node --import): sets its clock to TEST_NOW. Everything else of time goes on as it does. */
const Real = Date;
const shift = Real.parse(process.env.TEST_NOW) - Real.now();
globalThis.Date = class extends Real {
  constructor(...parts) {
    super(...(parts.length === 0 ? [Real.now() + shift] : parts));
  }
  static now() {
    return Real.now() + shift;
  }
};

import { describe, expect, it } from "vitest";
import { unguardedLine } from "../../../preflight.js";

/** As GitHub answers about an owner whom it does not take. */
const error = (line: number) => ({
  line,
  column: 25,
  kind: "Unknown owner",
  source: "*                       @example/runner-images-owners",
  suggestion: "make sure @example/runner-images-owners exists and has write access to the repository",
  message: `Unknown owner on line ${line}: make sure it exists and has write access to the repository`,
  path: ".github/CODEOWNERS",
});

describe("the code owners whose review main takes", () => {
  it("are not spoken of while GitHub takes all of them", () => {
    expect(unguardedLine(200, { errors: [] })).toBeNull();
  });

  it.each<[string, number, unknown, RegExp]>([
    [
      "are placeholders",
      200,
      { errors: [error(7), error(10)] },
      /passes over line 7 \(Unknown owner\), line 10 /,
    ],
    ["are named nowhere", 404, undefined, /^there is no \.github\/CODEOWNERS/],
    ["are not shown to this token", 403, undefined, /cannot be looked up: GitHub answers 403/],
  ])("are warned about in one line where they %s", (_, status, answer, line) => {
    const said = unguardedLine(status, answer);
    expect(said).toMatch(line);
    expect(said).not.toContain("\n");
  });
});

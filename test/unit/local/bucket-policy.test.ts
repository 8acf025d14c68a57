import { describe, expect, it } from "vitest";
import { bucketPolicy } from "../../../local/services/bucket-policy.js";

const statements = bucketPolicy("runner-images", "publisher").Statement;
const of = (principal: unknown) =>
  statements.filter(({ Principal }) => JSON.stringify(Principal) === JSON.stringify(principal));

describe("the bucket's policy", () => {
  it("lets the publisher read and add, but delete nothing and change no rule", () => {
    const actions = of({ AWS: ["publisher"] }).flatMap(({ Action }) => Action);
    expect(actions).toEqual(expect.arrayContaining(["s3:GetObject", "s3:PutObject", "s3:ListBucket"]));
    for (const action of actions) expect(action).not.toMatch(/Delete|Policy|Acl|Bypass|\*/);
  });

  it("lets everyone read images and pointer, and nothing else", () => {
    const everyone = of("*");
    expect(everyone.flatMap(({ Action }) => Action)).toEqual(["s3:GetObject"]);
    expect(everyone.flatMap(({ Resource }) => Resource)).toEqual(
      ["images/*", "pointer/*", "latest", "latest.json"].map((key) => `arn:aws:s3:::runner-images/${key}`),
    );
  });

  it("knows no other principal", () => {
    expect(of("*").length + of({ AWS: ["publisher"] }).length).toBe(statements.length);
  });
});

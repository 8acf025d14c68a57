import { describe, expect, it } from "vitest";
import { bucketPolicy } from "../../../local/services/bucket-policy.js";

const statements = bucketPolicy("runner-images", "publisher", "pruner").Statement;
const of = (principal: unknown) =>
  statements.filter(({ Principal }) => JSON.stringify(Principal) === JSON.stringify(principal));

describe("the bucket's policy", () => {
  it("lets the publisher read and add, but delete nothing and change no rule", () => {
    const actions = of({ AWS: ["publisher"] }).flatMap(({ Action }) => Action);
    expect(actions).toEqual(expect.arrayContaining(["s3:GetObject", "s3:PutObject", "s3:ListBucket"]));
    for (const action of actions) expect(action).not.toMatch(/Delete|Policy|Acl|Bypass|\*/);
  });

  it("lets everyone read images, pointer, those of channels and the page about it, and nothing else", () => {
    const everyone = of("*");
    expect(everyone.flatMap(({ Action }) => Action)).toEqual(["s3:GetObject"]);
    expect(everyone.flatMap(({ Resource }) => Resource)).toEqual(
      [
        ...["images/*", "pointer/*", "latest", "latest.json"],
        ...["*/pointer/*", "*/latest", "*/latest.json"],
        ...["index.html", "feed.atom", "moves/*"],
      ].map((key) => `arn:aws:s3:::runner-images/${key}`),
    );
  });

  it("lets the pruner remove images, and write nothing but the records of that", () => {
    const may = (action: string) =>
      of({ AWS: ["pruner"] }).flatMap(({ Action, Resource }) => (Action.includes(action) ? Resource : []));
    expect(may("s3:DeleteObject")).toEqual(["arn:aws:s3:::runner-images/images/*"]);
    expect(may("s3:PutObject")).toEqual(["arn:aws:s3:::runner-images/pruned/*"]);
    const actions = of({ AWS: ["pruner"] }).flatMap(({ Action }) => Action);
    for (const action of actions) expect(action).not.toMatch(/Version|Policy|Acl|Bypass|\*/);
  });

  it("knows no other principal", () => {
    const known = ["*", { AWS: ["publisher"] }, { AWS: ["pruner"] }].flatMap(of);
    expect(known.length).toBe(statements.length);
  });
});

import js from "@eslint/js";
import prettier from "eslint-config-prettier";
import tseslint from "typescript-eslint";

/** Imports that would move a rule into the wrong room (docs/architecture.md, "Layout"). */
const forbid = (...patterns) => ({
  "no-restricted-imports": ["error", { patterns: patterns.map(([group, message]) => ({ group, message })) }],
});
const noPulumi = [["@pulumi/*"], "release/ never imports Pulumi"];

/** The rooms of release/, from the top: each may import from those below it, and none from those above. */
const rooms = [
  "page",
  "compare",
  "retention",
  "pointer",
  "build",
  "boot",
  "inspect",
  "host",
  "attest",
  "store",
  "process",
];
const oneWay = rooms.map((room, index) => ({
  files: [`release/${room}/**`],
  rules: forbid(noPulumi, [
    ["../cli.js", "../main.mjs", ...rooms.slice(0, index).map((above) => `../${above}/*`)],
    `release/${room} is below that: docs/architecture.md, "The rooms of release/"`,
  ]),
}));

export default tseslint.config(
  { ignores: ["node_modules/", ".local/", "build/", "image/build/"] },
  js.configs.recommended,
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      // A template literal on an Output yields an error text instead of the value (pulumi.interpolate is meant).
      "@typescript-eslint/restrict-template-expressions": [
        "error",
        { allowNumber: true, allowBoolean: true },
      ],
      "@typescript-eslint/switch-exhaustiveness-check": "error",
      eqeqeq: "error",
      "no-console": "error",
    },
  },
  { files: ["components/**"], rules: forbid([["@aws-sdk/*"], "components/ never talks to S3"]) },
  { files: ["release/**"], rules: forbid(noPulumi) },
  ...oneWay,
  {
    files: ["**/*.js", "**/*.mjs"],
    ...tseslint.configs.disableTypeChecked,
    languageOptions: {
      ...tseslint.configs.disableTypeChecked.languageOptions,
      globals: {
        process: "readonly",
        console: "readonly",
        URL: "readonly",
        Buffer: "readonly",
        fetch: "readonly",
      },
    },
  },
  prettier,
);

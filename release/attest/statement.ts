import { z } from "zod";
import { printable } from "../process/progress.js";
import { imageName, keys, type Architecture } from "../store/keys.js";
import type { BuildFacts } from "../store/records.js";
import { parseJson } from "../store/store.js";

/** What an attestation is about: the disk of one architecture, by the sha256 of the qcow2. */
export interface Subject {
  commit: string;
  arch: Architecture;
  sha256: string;
}

/** As GitHub's own action writes them: https://github.com/in-toto/attestation/tree/main/spec/v1 */
export const payloadType = "application/vnd.in-toto+json";
const statementType = "https://in-toto.io/Statement/v1";
/** https://slsa.dev/spec/v1.0/provenance */
const predicateType = "https://slsa.dev/provenance/v1";

const statement = z.object({
  _type: z.literal(statementType),
  predicateType: z.literal(predicateType),
  subject: z
    .array(z.object({ name: z.string(), digest: z.object({ sha256: z.string().optional() }) }))
    .nonempty(),
});

/** The subject's name: what commit and architecture the signer says the disk is of. */
export function subjectName({ commit, arch }: Pick<Subject, "commit" | "arch">): string {
  return `${keys.imagesPrefix(commit)}${imageName(arch)}.qcow2`;
}

/** The statement of an image built and signed on one machine. The same facts are the same text. */
export function makeStatement(subject: Subject, facts: BuildFacts): string {
  const { base, profile, runner, builder } = facts;
  return JSON.stringify({
    _type: statementType,
    subject: [{ name: subjectName(subject), digest: { sha256: subject.sha256 } }],
    predicateType,
    predicate: {
      buildDefinition: {
        buildType: "urn:runner-images:image/Makefile",
        externalParameters: {
          commit: subject.commit,
          arch: subject.arch,
          base: base.kind,
          profile,
          runner: runner.kind,
        },
        resolvedDependencies: [
          { name: base.name, digest: { sha256: base.sha256 } },
          { name: `runner ${runner.version}`, digest: { sha256: runner.sha256 } },
        ],
      },
      runDetails: { builder: { id: "urn:runner-images:local", version: builder } },
    },
  });
}

/** @returns why the statement does not speak of the subject; null: it does */
export function contradiction(text: string, subject: Subject): string | null {
  const parsed = parseJson(text, statement);
  if (parsed === null) return "holds no statement of SLSA provenance";
  const name = subjectName(subject);
  const named = parsed.subject.filter((each) => each.name === name);
  if (named.length === 0)
    return `is of ${printable(parsed.subject.map((each) => each.name).join(", "))}, not of ${name}`;
  if (named.every(({ digest }) => digest.sha256 !== subject.sha256))
    return `is of another disk than the one of sha256 ${subject.sha256}`;
  return null;
}

import { createHash } from "node:crypto";
import { parse } from "smol-toml";
import { z } from "zod";
import { architectures, sha256Pattern } from "../../release/store/keys.js";
import { isNewer, unchanged, type Finding } from "../finding.js";
import { inputsFile, type Pinned } from "../pinned.js";
import { setDownload, setJson } from "../rewrite.js";
import type { Signatures } from "../signatures.js";
import type { Publisher } from "../web.js";
import { hashIn } from "./checksums.js";

/** https://forge.rust-lang.org/infra/channel-layout.html */
const channel = "https://static.rust-lang.org/dist/channel-rust-stable.toml";

const component = z.object({
  /** "1.98.1 (48a229cea 2026-09-01)" */
  version: z.string().regex(/^\d+\.\d+\.\d+ /),
  target: z.record(
    z.string(),
    z.object({ available: z.boolean(), xz_url: z.httpUrl().optional(), xz_hash: z.string().optional() }),
  ),
});
const manifest = z.object({
  "manifest-version": z.literal("2"),
  date: z.iso.date(),
  pkg: z.object({ rustc: component, "rust-std": component, cargo: component }),
});
/** In the order of image/inputs.json. */
const components = ["rustc", "rust-std", "cargo"] as const;

/** Rust's stable toolchain: the channel's manifest says the hash of each archive, and is itself hashed and signed. */
export async function findRust(
  publisher: Publisher,
  { inputs }: Pinned,
  signatures: Signatures,
): Promise<Finding> {
  const [text, sums, signature] = await Promise.all([
    publisher.text(channel),
    publisher.text(`${channel}.sha256`),
    publisher.bytes(`${channel}.asc`),
  ]);
  const hash = hashIn(publisher, `${channel}.sha256`, sums, "channel-rust-stable.toml");
  const actual = createHash("sha256").update(text).digest("hex");
  if (actual !== hash)
    throw publisher.wrong(
      channel,
      `sha256 ${hash}, not ${actual}`,
      "try again later; it may just be replaced",
    );
  await signatures.ofText(publisher, `${channel}.asc`, signature, text, "rust");
  const { date, pkg } = publisher.form(channel, toml(publisher, text), manifest);

  const pinned = inputs.tools.rust;
  const version = pkg.rustc.version.split(" ")[0]!;
  const newer = isNewer(publisher, channel, version, pinned.version);
  const downloads = architectures.flatMap((arch) =>
    components.map((name, index) => {
      const found = pkg[name].target[`${arch}-unknown-linux-gnu`];
      if (!found?.available || found.xz_url === undefined || !sha256Pattern.test(found.xz_hash ?? ""))
        throw publisher.wrong(channel, `${name} for ${arch} as .tar.xz`);
      if (!newer) unchanged(publisher, channel, found.xz_hash!, pinned[arch][index]?.sha256 ?? "nothing");
      return { arch, index, download: { url: found.xz_url, sha256: found.xz_hash! } };
    }),
  );
  return {
    what: publisher.what,
    pinned: { name: pinned.version, day: /\/(\d{4}-\d{2}-\d{2})\//.exec(pinned.x86_64[0]!.url)?.[1] ?? null },
    newest: { name: version, day: date },
    edits: newer
      ? [
          setJson(inputsFile, ["tools", "rust", "version"], version),
          ...downloads.flatMap(({ arch, index, download }) =>
            setDownload(inputsFile, ["tools", "rust", arch, index], download),
          ),
        ]
      : [],
  };
}

function toml(publisher: Publisher, text: string): unknown {
  try {
    return parse(text);
  } catch {
    throw publisher.wrong(channel, "TOML");
  }
}

import { PackageURL } from "packageurl-js";
import { parse as parseToml } from "smol-toml";
import { z } from "zod";
import { UserError } from "../process/errors.js";
import { imageName, type Architecture } from "../store/keys.js";
import { parseJson } from "../store/store.js";
import { requireFile, type Disk } from "./disk.js";

/*
 * The software bill of materials of an image, in CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/). It is made from the disk, not from
 * the lists it was built by, and of one disk it is always the same text: whoever finishes publishing it writes the same object.
 */

/** A package or tool on a disk. */
export interface Component {
  /** The type of its package URL: "deb", "github", "generic". */
  kind: string;
  name: string;
  version: string;
}

interface Found {
  type: "library" | "application" | "operating-system";
  purl: PackageURL;
}

/**
 * @param disk the image's
 * @returns the bill of materials, as JSON
 * @throws UserError where the disk cannot be read, or lacks what every image of this project has
 */
export async function makeSbom(disk: Disk, commit: string, arch: Architecture): Promise<string> {
  const os = await osRelease(disk);
  const found = [...(await packages(disk, os)), ...(await tools(disk)), await runner(disk)];
  // Its modules are many, and only a publisher needs them.
  const { Enums, Models, Serialize, Spec } = await import("@cyclonedx/cyclonedx-library");
  const types = {
    library: Enums.ComponentType.Library,
    application: Enums.ComponentType.Application,
    "operating-system": Enums.ComponentType.OperatingSystem,
  };
  const component = ({ type, purl }: Found) =>
    new Models.Component(types[type], purl.name, {
      version: purl.version ?? undefined,
      purl: purl.toString(),
      bomRef: purl.toString(),
    });
  const subject = new Models.Component(Enums.ComponentType.OperatingSystem, imageName(arch), {
    version: commit,
    bomRef: `${imageName(arch)}@${commit}`,
    description: `${os.ID} ${os.VERSION_ID}`,
  });
  const bom = new Models.Bom({ metadata: new Models.Metadata({ component: subject }) });
  for (const one of found) bom.components.add(component(one));
  const serializer = new Serialize.JsonSerializer(new Serialize.JSON.Normalize.Factory(Spec.Spec1dot6));
  return `${serializer.serialize(bom, { sortLists: true, space: 1 })}\n`;
}

type OsRelease = Record<string, string>;

/** https://www.freedesktop.org/software/systemd/man/latest/os-release.html */
async function osRelease(disk: Disk): Promise<OsRelease> {
  const text = await requireFile(disk, "/usr/lib/os-release");
  return Object.fromEntries(
    [...text.matchAll(/^([A-Z_]+)="?(.*?)"?$/gm)].map(([, name, value]) => [name!, value!]),
  );
}

/** https://manpages.debian.org/stable/dpkg-dev/deb-control.5.en.html; removed packages stay listed, with another status */
async function packages(disk: Disk, os: OsRelease): Promise<Found[]> {
  const text = await requireFile(disk, "/var/lib/dpkg/status");
  return text.split(/\n\n+/).flatMap((paragraph): Found[] => {
    const field = (name: string) => new RegExp(`^${name}: (.*)$`, "m").exec(paragraph)?.[1];
    const [name, version, arch] = [field("Package"), field("Version"), field("Architecture")];
    if (!name || !version || !arch || !field("Status")?.endsWith(" installed")) return [];
    const qualifiers = { arch, distro: `${os.ID}-${os.VERSION_ID}` };
    return [{ type: "library", purl: new PackageURL("deb", os.ID, name, version, qualifiers, undefined) }];
  });
}

const awsCli = /^\/usr\/local\/aws-cli\/v2\/(\d+\.\d+\.\d+)$/;
const toolchain = /^\/gha\/\.rustup\/toolchains\/[^/]+\/lib\/rustlib\/multirust-channel-manifest\.toml$/;
const toolchainManifest = z.object({ pkg: z.object({ rustc: z.object({ version: z.string() }) }) });

/** What was installed from a download (image/inputs.json, tools), which dpkg knows nothing of: each leaves its version where its installer puts it. */
async function tools(disk: Disk): Promise<Found[]> {
  const tree = await disk.tree();
  const found = (owner: string, name: string, version: string): Found => ({
    type: "application",
    purl: new PackageURL("github", owner, name, version, undefined, undefined),
  });
  const manifests = tree.filter(({ path }) => toolchain.test(path));
  const read = await disk.extract(manifests);
  const rust = manifests.map(async (file) => {
    const text = (await read(file)).toString();
    try {
      const { pkg } = toolchainManifest.parse(parseToml(text));
      // "1.97.0 (2d8144b78 2026-07-07)"
      return found("rust-lang", "rust", pkg.rustc.version.split(" ")[0]!);
    } catch {
      throw new UserError(`${disk.file}: ${file.path} on it does not say which Rust it is`);
    }
  });
  return [
    ...tree
      .flatMap(({ path }) => awsCli.exec(path)?.[1] ?? [])
      .map((version) => found("aws", "aws-cli", version)),
    ...(await Promise.all(rust)),
  ];
}

const buildJson = z.object({
  runner: z.object({ kind: z.enum(["github", "fixture"]), version: z.string() }),
});

async function runner(disk: Disk): Promise<Found> {
  const file = "/usr/lib/runner-image/build.json";
  const found = parseJson(await requireFile(disk, file), buildJson);
  if (found === null) throw new UserError(`${disk.file}: ${file} on it does not say which runner it has`);
  const { kind, version } = found.runner;
  const purl =
    kind === "github"
      ? new PackageURL("github", "actions", "runner", `v${version}`, undefined, undefined)
      : new PackageURL("generic", undefined, "fixture-runner", version, undefined, undefined);
  return { type: "application", purl };
}

const bill = z.object({
  bomFormat: z.literal("CycloneDX"),
  components: z.array(z.object({ name: z.string(), version: z.string(), purl: z.string() })),
});

/** What a stored bill of materials lists; null where it is not one. */
export function readComponents(text: string): Component[] | null {
  const found = parseJson(text, bill);
  return (
    found?.components.map(({ name, version, purl }) => ({
      kind: /^pkg:([^/]+)\//.exec(purl)?.[1] ?? "generic",
      name,
      version,
    })) ?? null
  );
}

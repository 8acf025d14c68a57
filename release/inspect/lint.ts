import path from "node:path";
import { requireFile, type Disk, type DiskEntry } from "./disk.js";
import { findSecrets, readOwned } from "./secrets.js";
import {
  glob,
  judgeIdentity,
  judgePasswords,
  judgePaths,
  judgePermissions,
  judgeSudoers,
  judgeTimers,
  judgeUsers,
  type Finding,
} from "./rules.js";

const packageLists = glob(["/var/lib/dpkg/info/*.list"]);
const sudoersFiles = glob(["/etc/sudoers", "/etc/sudoers.d/*"]);

/**
 * Everything on an image's disk that no image may hold. Where the file system is damaged, only that: the rest cannot be relied on.
 * @throws UserError where the disk cannot be read
 */
export async function lintDisk(disk: Disk): Promise<Finding[]> {
  const complaints = await disk.complaints();
  if (complaints.length > 0) return complaints.map((what) => ({ rule: "file-system", path: "/", what }));

  const tree = await disk.tree();
  const lists = tree.filter(({ path }) => packageLists(path));
  const sudoers = tree.filter(({ path, kind }) => kind === "file" && sudoersFiles(path));
  const [read, masked, passwd, shadow, status] = await Promise.all([
    disk.extract([...lists, ...sudoers]),
    maskedUnits(disk, tree),
    requireFile(disk, "/etc/passwd"),
    requireFile(disk, "/etc/shadow"),
    requireFile(disk, "/var/lib/dpkg/status"),
  ]);
  const texts = (files: DiskEntry[]) => Promise.all(files.map(async (file) => (await read(file)).toString()));
  const grants = (await texts(sudoers)).flatMap((text, index) =>
    text.split("\n").map((line) => ({ path: sudoers[index]!.path, line })),
  );
  return [
    ...judgePasswords(shadow),
    ...judgeUsers(passwd),
    ...judgeSudoers(grants),
    ...judgeIdentity(tree),
    ...judgePaths(tree, "disk"),
    ...judgePermissions(tree),
    ...judgeTimers(tree, masked),
    ...(await findSecrets(disk, tree, readOwned(status, await texts(lists)))),
  ];
}

async function maskedUnits(disk: Disk, tree: DiskEntry[]): Promise<Set<string>> {
  const links = tree.filter(
    ({ path: file, kind }) => kind === "link" && path.dirname(file) === "/etc/systemd/system",
  );
  const targets = await disk.targets(links);
  return new Set(
    links.filter((_, index) => targets[index] === "/dev/null").map((link) => path.basename(link.path)),
  );
}

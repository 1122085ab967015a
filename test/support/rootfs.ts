/**
 * A root filesystem for real containers, made of the host's static busybox, and the smallest specification that runs a
 * command in it.
 */
import { Effect } from "effect"
import type { Scope } from "effect"
import { afterAll } from "vitest"
import { execFileSync } from "node:child_process"
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { OciSpec } from "../../src/schema/OciSpec.ts"
import { leftOut } from "./leftOut.ts"

const binaries = ["/bin/busybox", "/usr/bin/busybox"]

const lacking = [
  ...(process.getuid?.() === 0 ? [] : ["this is not root"]),
  ...(binaries.some((path) => existsSync(path)) ? [] : ["there is no busybox: apt-get install busybox-static"])
]

/** Whether real containers can be made here: root, with a busybox to put in them. Says why where they cannot. */
export const canRunContainers = lacking.length === 0
if (!canRunContainers) leftOut("tests of real containers", lacking.join("; "))

/** Where a program is on this host, or null; then it says that there is none. */
export const installed = (binary: string): string | null => {
  const folders = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]
  const found = folders.map((folder) => join(folder, binary)).find((path) => existsSync(path))
  if (found === undefined) leftOut(`tests of ${binary}`, `it is not installed: apt-get install ${binary}`)
  return found ?? null
}

const folders = ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"]

/**
 * A folder with `/bin/sh` and the other applets, removed with the scope. `/etc/passwd` and `/etc/hosts` are there and
 * not executable; `/bin/garbage` is executable and no program.
 */
export const busyboxRootfs: Effect.Effect<string, never, Scope.Scope> = Effect.acquireRelease(
  Effect.sync(() => makeRootfs()),
  (rootfs) => Effect.sync(() => removeRootfs(rootfs))
)

const makeRootfs = (): string => {
  const rootfs = mkdtempSync(join(tmpdir(), "berth-rootfs-"))
  for (const folder of folders) mkdirSync(join(rootfs, folder))
  const busybox = binaries.find((path) => existsSync(path)) ?? "busybox"
  copyFileSync(busybox, join(rootfs, "bin/busybox"))
  const applets = execFileSync(busybox, ["--list"], { encoding: "utf8" }).split("\n")
  for (const applet of applets)
    if (applet !== "" && applet !== "busybox") symlinkSync("busybox", join(rootfs, "bin", applet))
  writeFileSync(join(rootfs, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
  writeFileSync(join(rootfs, "etc/group"), "root:x:0:\nnobody:x:65534:\n")
  writeFileSync(join(rootfs, "etc/hosts"), "127.0.0.1 localhost\n")
  writeFileSync(join(rootfs, "bin/garbage"), "not a program\n", { mode: 0o755 })
  return rootfs
}

const removeRootfs = (rootfs: string): void => rmSync(rootfs, { recursive: true, force: true })

/** `id` must be unique on the host while the container exists: it names the cgroup. */
export const bundleSpec = (rootfs: string, args: ReadonlyArray<string>, id: string): OciSpec => ({
  ociVersion: "1.0.2",
  process: {
    terminal: false,
    user: { uid: 0, gid: 0 },
    args,
    env: ["PATH=/bin", "HOME=/root"],
    cwd: "/",
    noNewPrivileges: true
  },
  root: { path: rootfs, readonly: false },
  hostname: "berth",
  mounts: [
    { destination: "/proc", type: "proc", source: "proc" },
    { destination: "/dev", type: "tmpfs", source: "tmpfs", options: ["nosuid", "mode=755", "size=65536k"] }
  ],
  linux: {
    cgroupsPath: `/berth-test-${id}`,
    namespaces: ["pid", "mount", "ipc", "uts", "network"].map((type) => ({ type }))
  }
})

/** One for all tests of the file that calls this, removed behind the last of them. */
export const rootfsOfFile = (): string => {
  const rootfs = makeRootfs()
  afterAll(() => removeRootfs(rootfs))
  return rootfs
}

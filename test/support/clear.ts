/** Takes away whatever a test that failed has left of a state folder: containers, processes, mounts, cgroups. Needs nothing of berth to be alive. */
import { execFileSync } from "node:child_process"
import { existsSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { cgroupPrefix } from "../../src/layers/DaemonOptions.ts"

const cgroupRoot = "/sys/fs/cgroup"

const foldersIn = (path: string): ReadonlyArray<string> =>
  existsSync(path)
    ? readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))
    : []

const attempt = (run: () => unknown): void => {
  try {
    run()
  } catch {
    // It may be gone by now, and the next step does not depend on it.
  }
}

const kill = (pid: number) => attempt(() => process.kill(pid, "SIGKILL"))

/** What drivers remember of the plain processes that they started. */
const killPlain = (folder: string): void => {
  for (const name of readdirSync(folder).filter((name) => /^(?:init|\d+)\.json$/.test(name))) {
    attempt(() => {
      const { pid, startTime }: { pid: number; startTime: string } = JSON.parse(
        readFileSync(join(folder, name), "utf8")
      )
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
      if (stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] === startTime) process.kill(-pid, "SIGKILL")
    })
  }
}

const deleteContainers = (state: string): void => {
  for (const name of foldersIn(join(state, "runtime"))) {
    const binaries = name === "runc" || name === "crun" ? [name] : ["runc", "crun"]
    for (const namespace of foldersIn(join(state, "runtime", name))) {
      const root = join(state, "runtime", name, namespace)
      for (const id of foldersIn(root)) {
        if (name === "host") killPlain(join(root, id))
        else
          for (const binary of binaries) {
            attempt(() =>
              execFileSync(binary, ["--root", root, "delete", "--force", id], { stdio: "ignore", timeout: 10_000 })
            )
          }
      }
    }
  }
}

const unmountBelow = (folder: string): void => {
  const points = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => (line.split(" ")[4] ?? "").replaceAll("\\040", " "))
    .filter((point) => point.startsWith(`${folder}/`))
  // The last was mounted on top.
  for (const point of points.toReversed()) attempt(() => execFileSync("umount", ["-l", point], { stdio: "ignore" }))
}

const removeGroup = (directory: string): void => {
  attempt(() =>
    readFileSync(join(directory, "cgroup.procs"), "utf8")
      .split("\n")
      .filter((pid) => pid !== "")
      .forEach((pid) => kill(Number(pid)))
  )
  // On version 1 a signal waits until the thaw.
  attempt(() => writeFileSync(join(directory, "freezer.state"), "THAWED", { flag: "r+" }))
  foldersIn(directory).forEach((name) => removeGroup(join(directory, name)))
  for (let left = 20; left > 0 && existsSync(directory); left--) {
    attempt(() => rmdirSync(directory))
    if (existsSync(directory)) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 10)
  }
}

const removeGroups = (state: string): void => {
  const prefix = `${cgroupPrefix(state)}--`
  const hierarchies = ["", ...foldersIn(cgroupRoot)].map((name) => join(cgroupRoot, name))
  for (const hierarchy of hierarchies) {
    for (const name of foldersIn(hierarchy)) if (name.startsWith(prefix)) removeGroup(join(hierarchy, name))
  }
}

/** `folder` holds the state folder. The shims are ended already. */
export const clear = (folder: string, state: string): void => {
  deleteContainers(state)
  unmountBelow(folder)
  removeGroups(state)
}

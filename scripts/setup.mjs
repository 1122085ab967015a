#!/usr/bin/env node
/**
 * Everything that a fresh checkout lacks, in one command: the npm packages (the pinned Node among them), the bundles in
 * `dist`, the container runtimes. Runs on any Node that npm runs on, needs no package, asks nothing, and does nothing
 * where nothing is missing. The host itself it changes only by installing packages, and with `--test` by moving cgroup
 * controllers (see `controllers`).
 */
import { spawnSync } from "node:child_process"
import { accessSync, constants, existsSync, mkdirSync, readFileSync, rmdirSync, rmSync } from "node:fs"
import { delimiter, dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { build, isBuilt, neededNode, root } from "./build.mjs"

const usage = `usage: scripts/setup.mjs [--deps] [--build] [--runtimes] [--test]
  --deps      install the npm packages of the lock file, Node ${neededNode} among them
  --build     bundle src into dist where it changed
  --runtimes  install container runtimes that are missing (as root, with the package manager of the system)
  --test      make room for crun on a host with cgroups v1 and v2 side by side, for tests that need every runtime
`

/** What real containers need. A rootfs is made of busybox alone, so it must not need a dynamic loader. */
const runtimes = [
  { command: "runc", packages: { "apt-get": "runc", dnf: "runc" } },
  { command: "crun", packages: { "apt-get": "crun", dnf: "crun" } },
  { command: "busybox", packages: { "apt-get": "busybox-static", dnf: "busybox" }, isStatic: true }
]

const packageManagers = {
  "apt-get": ["install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120"],
  dnf: ["install", "-y", "--setopt=install_weak_deps=False"]
}

const path = (process.env.PATH ?? "").split(delimiter)
const isRoot = process.geteuid?.() === 0
const say = (text) => process.stderr.write(text)

const isExecutable = (file) => {
  try {
    accessSync(file, constants.X_OK)
    return true
  } catch {
    return false
  }
}

const find = (command) =>
  path
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, command))
    .find(isExecutable)

/** Runs a command quietly; what it printed is in the error, where it fails. */
const run = (command, args, env = {}) => {
  const result = spawnSync(command, args, {
    cwd: root,
    env: { ...process.env, ...env },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    maxBuffer: 1 << 28
  })
  if (result.error)
    throw new Error(result.error.code === "ENOENT" ? `${command} is not installed` : result.error.message)
  if (result.status === 0) return
  const why = `${result.stdout}${result.stderr}`.trim()
  throw new Error(`${command} ${args[0]} ended with ${result.status ?? result.signal}:\n${why}`)
}

const locked = (file) => {
  try {
    return JSON.parse(readFileSync(join(root, file), "utf8")).packages
  } catch {
    return undefined // Absent, or half written by an npm that was killed: the same to us.
  }
}

const pinnedNode = join(root, "node_modules/.bin/node")
const hasNode = () => isExecutable(pinnedNode) || Number.parseInt(process.versions.node) >= neededNode

/** npm's own record of what stands in `node_modules`, which it writes last of all: no stamp of ours could be truer. */
const packages = {
  title: "npm packages",
  isDone: () => {
    const [wanted, found] = [locked("package-lock.json") ?? {}, locked("node_modules/.package-lock.json")]
    const agrees = ([at, entry]) => {
      if (!at.includes("node_modules/") || entry.link) return true
      const here = found[at]
      return here === undefined
        ? entry.optional === true
        : here.version === entry.version && here.integrity === entry.integrity
    }
    return found !== undefined && Object.entries(wanted).every(agrees) && hasNode()
  },
  run: () => {
    const flags = ["--include=dev", "--include=optional", "--no-audit", "--no-fund", "--loglevel=error"]
    // npm must not run on the Node that it is about to replace, nor install into a project whose script called us.
    const PATH = path.filter((folder) => !folder.endsWith("node_modules/.bin")).join(delimiter)
    run("npm", ["ci", "--prefix", root, ...flags], { PATH })
    if (spawnSync(pinnedNode, ["--version"]).status !== 0) rmSync(pinnedNode, { force: true })
    if (!hasNode())
      throw new Error(`no Node ${neededNode} for this machine among them, and this is ${process.version}: install it`)
  }
}

const bundles = { title: "bundles in dist", isDone: isBuilt, run: build }

const isStatic = (file) => !readFileSync(file).subarray(0, 4096).includes("/ld-")

const missing = () =>
  runtimes.filter((runtime) => {
    const file = find(runtime.command)
    return file === undefined || (runtime.isStatic === true && !isStatic(file))
  })

const containerRuntimes = {
  title: "container runtimes",
  isDone: () => missing().length === 0,
  run: () => {
    const lacking = missing()
    const names = lacking.map((runtime) => runtime.command).join(", ")
    const manager = Object.keys(packageManagers).find(find)
    if (manager === undefined) throw new Error(`${names} missing: install them, busybox as a static program`)
    const wanted = lacking.map((runtime) => runtime.packages[manager])
    if (!isRoot)
      throw new Error(`${names} missing, and only root installs: sudo ${manager} install ${wanted.join(" ")}`)
    const args = [...packageManagers[manager], ...wanted]
    const env = { DEBIAN_FRONTEND: "noninteractive" }
    try {
      run(manager, args, env)
    } catch (error) {
      if (manager !== "apt-get") throw error
      run(manager, ["update"], env) // Lists that are absent or out of date are the usual reason.
      run(manager, args, env)
    }
    const still = missing()
    if (still.length > 0)
      throw new Error(`installed, but not on PATH: ${still.map((runtime) => runtime.command).join(", ")}`)
  }
}

const readIfThere = (file) => (existsSync(file) ? readFileSync(file, "utf8") : "")

/** Where v1 and v2 stand side by side: the folder of v2, and the controllers in it. */
const unified = () => {
  const mounts = readIfThere("/proc/self/mounts")
    .split("\n")
    .map((line) => line.split(" "))
  const at = mounts.find(([, , type]) => type === "cgroup2")?.[1]
  if (at === undefined || !mounts.some(([, , type]) => type === "cgroup")) return { at: "", names: [] }
  const names = readIfThere(join(at, "cgroup.controllers")).split(/\s+/).filter(Boolean)
  return { at, names }
}

/**
 * crun refuses a host whose v2 hierarchy has any controller while others are v1. Mounting such a controller as v1 takes
 * it out of v2. Only the tests ask for this, berth itself takes a host as it is. Where it cannot be done nothing fails
 * here: the tests that need crun say what they miss.
 */
const controllers = {
  title: "cgroup controllers to v1, for crun",
  isDone: () => !isRoot || unified().names.length === 0,
  run: () => {
    const { at, names } = unified()
    const move = (name) => {
      const v1 = name === "io" ? "blkio" : name
      const folder = join(dirname(at), v1)
      let made
      try {
        made = mkdirSync(folder, { recursive: true })
        run("mount", ["-t", "cgroup", "-o", v1, v1, folder])
        return `mounted ${folder}`
      } catch (error) {
        if (made !== undefined) rmdirSync(made)
        return `${v1} cannot be mounted (${error.message.split("\n")[1] ?? error.message})`
      }
    }
    return names.map(move).join(", ")
  }
}

/** One set-up at a time in a checkout: the kernel drops the lock with the process, so there is none to go stale. */
const underLock = (args) => {
  const self = fileURLToPath(import.meta.url)
  const again = [self, process.execPath, self, ...args, "--locked"]
  const lock = (flags) => spawnSync("flock", [...flags, ...again], { stdio: "inherit" })
  const first = lock(["--nonblock", "--conflict-exit-code", "75"])
  if (first.error) return undefined
  if (first.status !== 75) return first.status ?? 1
  say("setup: another one is at work here, waiting for it\n")
  return lock([]).status ?? 1
}

const main = async () => {
  const flag = { type: "boolean", default: false }
  const options = { deps: flag, build: flag, runtimes: flag, test: flag, locked: flag }
  let flags
  try {
    flags = parseArgs({ options }).values
  } catch (error) {
    say(`setup: ${error.message}\n${usage}`)
    return 2
  }
  const steps = [
    ...(flags.deps ? [packages] : []),
    ...(flags.build ? [bundles] : []),
    ...(flags.runtimes ? [containerRuntimes] : []),
    ...(flags.test ? [controllers] : [])
  ]
  if (steps.length === 0) {
    say(usage)
    return 2
  }
  if (steps.every((step) => step.isDone())) return 0
  if (!flags.locked) {
    const status = underLock(process.argv.slice(2))
    if (status !== undefined) return status
  }
  for (const step of steps.filter((step) => !step.isDone())) {
    const start = performance.now()
    say(`setup: ${step.title} ... `)
    try {
      const note = await step.run()
      say(`${((performance.now() - start) / 1000).toFixed(1)} s${note ? `: ${note}` : ""}\n`)
    } catch (error) {
      say(`failed: ${error.message}\n`)
      return 1
    }
  }
  return 0
}

process.exitCode = await main()

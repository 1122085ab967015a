/**
 * The floor: the runtime's binary alone, started from a small process with the arguments that berth's driver uses,
 * /dev/null for standard streams, and the wait for the container's end that a subreaper has. Writing and removing the
 * bundle is not counted.
 */
import koffi from "koffi"
import { spawn } from "node:child_process"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import type { Settings } from "../Protocol.ts"
import { specOf } from "./Bundle.ts"
import type { Target } from "./Target.ts"

const PR_SET_CHILD_SUBREAPER = 36
const WNOHANG = 1

/** Waits for processes that the runtime left to us. */
const makeReaper = () => {
  const libc = koffi.load(null)
  const prctl = libc.func("int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)")
  const waitpid = libc.func("int waitpid(int pid, _Out_ int *status, int options)")
  const waiting = new Map<number, (status: number) => void>()
  const reap = (pid: number) => {
    const word = [0]
    if (waitpid(pid, word, WNOHANG) !== pid) return
    const [status = 0] = word
    waiting.get(pid)?.((status & 0x7f) === 0 ? (status >> 8) & 0xff : 128 + (status & 0x7f))
    waiting.delete(pid)
  }
  prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
  process.on("SIGCHLD", () => {
    for (const pid of waiting.keys()) reap(pid)
  })
  return (pid: number) =>
    new Promise<number>((resolve) => {
      waiting.set(pid, resolve)
      reap(pid)
    })
}

export const open = async ({ binary, spec, volatile }: Settings): Promise<Target> => {
  const waitFor = makeReaper()
  const bundleOf = (id: string) => join(volatile, "bundles", id)
  const pidOf = (id: string) => Number.parseInt(readFileSync(join(bundleOf(id), "init.pid"), "utf8"), 10)

  const run = (id: string, ...args: ReadonlyArray<string>) =>
    new Promise<void>((resolve, reject) => {
      const log = join(bundleOf(id), "runtime.log")
      const all = ["--root", join(volatile, "runtime"), "--log", log, "--log-format", "json", ...args, id]
      const child = spawn(binary, all, { stdio: "ignore", detached: true })
      child.on("error", reject)
      child.on("exit", (code) => {
        if (code === 0) resolve()
        else reject(new Error(`${binary} ${args[0]} ended with ${code}: ${readFileSync(log, "utf8").trim()}`))
      })
    })

  return {
    counted: ["create", "start", "wait", "delete"],
    record: async (id, args) => {
      mkdirSync(bundleOf(id), { recursive: true, mode: 0o700 })
      writeFileSync(join(bundleOf(id), "config.json"), specOf(spec, id, args))
    },
    create: (id) => run(id, "create", "--bundle", bundleOf(id), "--pid-file", join(bundleOf(id), "init.pid")),
    start: (id) => run(id, "start"),
    wait: (id) => waitFor(pidOf(id)),
    kill: async (id) => {
      process.kill(pidOf(id), "SIGKILL")
    },
    delete: (id) => run(id, "delete"),
    unrecord: async (id) => rmSync(bundleOf(id), { recursive: true }),
    close: async () => {}
  }
}

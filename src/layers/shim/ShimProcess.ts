/** Starting a shim: a detached process of its own session whose arguments name the state folder, so that `ps` tells whose it is. */
import { Effect, Option, Schedule } from "effect"
import { spawn } from "node:child_process"
import type { ChildProcess } from "node:child_process"
import { closeSync, existsSync, mkdirSync, openSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Unavailable } from "../../schema/Errors.ts"
import { probe } from "../server/Listen.ts"
import { whileItGetsOn } from "./Patience.ts"
import { Held, heldCode, holder, socketOf } from "./ShimLock.ts"

/** Beside the bundles in a package, in the sources of a checkout. */
const entry = () => {
  const bundled = fileURLToPath(new URL("./shim.js", import.meta.url))
  return existsSync(bundled) ? bundled : fileURLToPath(new URL("../../shim/main.ts", import.meta.url))
}

/** A small heap: one shim lives on every machine that has containers, and does little at a time. */
const flags = ["--max-semi-space-size=4", "--max-old-space-size=256"]

/** No more than runtimes are given later: a secret of the daemon's environment must not outlive it in the shim. */
const passed = ["PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"]

const launch = (state: string) => {
  mkdirSync(state, { recursive: true, mode: 0o700 })
  const log = openSync(join(state, "shim.log"), "a", 0o600)
  try {
    const child = spawn(process.execPath, [...flags, entry(), "--state", state], {
      cwd: "/",
      env: Object.fromEntries(
        passed.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]]))
      ),
      detached: true,
      stdio: ["ignore", log, log]
    })
    // An error here shows as a child without a pid, which is reported below.
    child.on("error", () => {})
    child.unref()
    return child
  } finally {
    closeSync(log)
  }
}

/** Why that child is no shim any more; `null` while it is. */
const endOf = ({ exitCode, pid, signalCode }: ChildProcess): string | null => {
  if (pid === undefined) return "it cannot be started"
  return exitCode === null && signalCode === null ? null : `it ended with ${exitCode ?? signalCode}`
}

/** Of the one that has the folder's lock and does not answer. */
const held = Effect.fnUntraced(function* (state: string) {
  const pid = Option.map(yield* holder(state), (found) => found.pid)
  const { message } = new Held({ pid: Option.getOrNull(pid), answers: false })
  const mend = Option.match(pid, {
    onNone: () => `see ${join(state, "shim.log")}`,
    onSome: (pid) => `kill -9 ${pid}: containers go on`
  })
  return new Unavailable({ what: "shim", problem: message, mend })
})

/** Returns when the shim answers; fails when it ends, or does not get on. */
export const startShim = Effect.fn("startShim")(function* (state: string) {
  const failed = (problem: string) => new Unavailable({ what: "shim", problem, mend: `see ${join(state, "shim.log")}` })
  const child = yield* Effect.try({ try: () => launch(state), catch: (error) => failed(String(error)) })
  const answers = Effect.gen(function* () {
    const end = endOf(child)
    // Asked after that: one that ended because another shim serves has done no harm.
    const alive = (yield* probe(socketOf(state))) === "alive"
    if (!alive && end !== null) return yield* child.exitCode === heldCode ? yield* held(state) : failed(end)
    return alive
  })
  yield* Effect.repeat(answers, { schedule: Schedule.spaced("5 millis"), until: (alive) => alive }).pipe((waiting) =>
    whileItGetsOn(state, waiting)
  )
})

/** What a daemon that cannot begin says: what it wanted, why not, what to do; and what daemon and shim log when the other is killed. */
import { assert, it } from "@effect/vitest"
import { Effect, Schedule } from "effect"
import { execFile, execFileSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { run } from "../cli/support/Command.ts"
import { berth, daemonOn, folders, shimsOf } from "../support/daemon.ts"
import { canMount, tmpfs } from "../support/tmpfs.ts"

/** What it says and ends with. */
const ends = (args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly code: unknown; readonly err: string }>((resume) => {
    const child = execFile(berth, ["daemon", ...args], { timeout: 30_000 }, (error, _, err) =>
      resume(Effect.succeed({ code: error === null ? 0 : (error.code ?? error.signal), err: lastOf(err) }))
    )
    return Effect.sync(() => void child.kill("SIGTERM"))
  })

/** Without warnings before it, such as that no container can be run here. */
const lastOf = (err: string) => err.trimEnd().split("\n").at(-1) ?? ""

const until = (holds: () => boolean) =>
  Effect.sync(holds).pipe(
    Effect.repeat({ until: (held) => held, schedule: Schedule.spaced("20 millis") }),
    Effect.timeout("20 seconds")
  )

/** To the last byte. */
const fill = (folder: string) => {
  try {
    for (let size = 4096; ;) writeFileSync(join(folder, "filler"), Buffer.alloc(size), { flag: "a" })
  } catch {
    // Full it is.
  }
}

it.live.runIf(canMount)("a full or read-only state folder is told with what to do", () =>
  Effect.gen(function* () {
    const { folder, root } = yield* folders
    const state = yield* tmpfs("64k")
    const args = ["--root", root, "--state", state, "--listen", `unix://${join(folder, "x.sock")}`]
    fill(state)
    assert.deepStrictEqual(yield* ends(args), {
      code: 1,
      err: "berth: disk of the state folder: full, the limit is 65536 (make room on it)"
    })
    execFileSync("mount", ["-o", "remount,ro", state])
    assert.deepStrictEqual(yield* ends(args), {
      code: 125,
      err: `berth: state folder: cannot write to ${state}: the file system is read-only (choose another --state)`
    })
  })
)

it.live("a socket that cannot be made is told with what to do", () =>
  Effect.gen(function* () {
    const { root, state } = yield* folders
    assert.deepStrictEqual(yield* ends(["--root", root, "--state", state, "--listen", "unix:///proc/x.sock"]), {
      code: 125,
      err: "berth: socket /proc/x.sock: cannot listen there: permission denied (choose another --listen)"
    })
    yield* until(() => shimsOf(state).length === 0)
  })
)

it.live("the end of the other is no more than a line in the log", () =>
  Effect.gen(function* () {
    const place = yield* folders
    const pid = join(place.folder, "pid")
    const stack = /^ +at /m
    const options = { args: ["--enable-host-driver"], runtime: "host" }
    yield* Effect.scoped(
      Effect.gen(function* () {
        const daemon = yield* daemonOn(place, options)
        const kept = ["run", "-d", "--id", "kept", "--pid-file", pid, "--rootfs", "/", "sleep", "1000"]
        assert.strictEqual((yield* run(kept, daemon)).code, 0)
        // It dies with something unread, which is what makes its end a failure of the connection.
        process.kill(daemon.pid, "SIGSTOP")
        process.kill(Number(readFileSync(pid, "utf8")), "SIGKILL")
        yield* Effect.sleep("500 millis")
        process.kill(daemon.pid, "SIGKILL")
      })
    )
    const shimLog = () => readFileSync(join(place.state, "shim.log"), "utf8")
    yield* until(() => shimLog().includes("a daemon has gone"))
    assert.notMatch(shimLog(), /ERROR/)
    assert.notMatch(shimLog(), stack)
    yield* Effect.scoped(
      Effect.gen(function* () {
        const daemon = yield* daemonOn(place, options)
        for (const shim of shimsOf(place.state)) process.kill(shim, "SIGKILL")
        yield* until(() => daemon.log().includes("begins anew"))
        assert.match(daemon.log(), /WARN.*the watch of the shim ended and begins anew: the shim is gone: \S.*\n/)
        assert.notMatch(daemon.log(), stack)
        assert.strictEqual((yield* run(["rm", "-f", "kept"], daemon)).code, 0)
      })
    )
  })
)

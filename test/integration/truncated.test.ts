/** Output that could not all be logged in time, as users see it: in the JSON of an exit, a task and an event, and in a line of a command that prints output. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Schedule, Schema } from "effect"
import { execFileSync } from "node:child_process"
import { chmodSync, mkdirSync, readFileSync, rmSync, statfsSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { finish, run, start } from "../cli/support/Command.ts"
import { daemon, daemonOn, folders, shimsOf } from "../support/daemon.ts"
import { temporaryFolder } from "../support/folder.ts"
import { canRunContainers, rootfsOfFile } from "../support/rootfs.ts"

const rootfs = rootfsOfFile()
const Flagged = Schema.Struct({ truncated: Schema.optionalKey(Schema.Boolean) })
const read = <A>(schema: Schema.Decoder<A>) => Schema.decodeSync(Schema.fromJsonString(schema))

describe.skipIf(!canRunContainers)("truncated output", () => {
  it.live(
    "of a program that does not read is in the exit, the task, the event, and not where all was read",
    () =>
      Effect.gen(function* () {
        const { address } = yield* daemon()
        const berth = (...args: ReadonlyArray<string>) => run(args, { address })
        const folder = yield* temporaryFolder
        const logger = join(folder, "logger")
        const ends: Array<boolean | undefined> = []
        for (const [id, body] of [
          ["deaf", "exec sleep 1000"],
          ["good", "cat <&3 >/dev/null"]
        ] as const) {
          writeFileSync(logger, `#!/bin/sh\nexec 5>&-\n${body}\n`)
          chmodSync(logger, 0o755)
          yield* Effect.addFinalizer(() => Effect.ignore(berth("rm", "-f", id)))
          const made = yield* berth(
            "run",
            "-d",
            "--id",
            id,
            "--rootfs",
            rootfs,
            "--log",
            `binary:${logger}`,
            "echo",
            "hi"
          )
          assert.strictEqual(made.code, 0, made.stderr)
          const exit = read(Flagged)((yield* berth("wait", "--json", id)).stdout)
          const { task } = read(Schema.Struct({ task: Flagged }))((yield* berth("inspect", "--json", id)).stdout)
          const told = (yield* berth("events", "--json", "--no-follow", "--filter", "topic=/tasks/exit")).stdout
          const event = told.split("\n").find((line) => line.includes(`"containerId":"${id}"`)) ?? "{}"
          const { event: payload } = read(Schema.Struct({ event: Flagged }))(event)
          assert.deepStrictEqual([task.truncated, payload.truncated], [exit.truncated, exit.truncated])
          ends.push(exit.truncated)
        }
        assert.deepStrictEqual(ends, [true, undefined])
      }),
    60_000
  )

  it.live(
    "of a full disk is told by the command that prints what there is of it",
    () =>
      Effect.gen(function* () {
        const place = yield* folders
        mkdirSync(place.root)
        yield* Effect.acquireRelease(
          Effect.sync(() => execFileSync("mount", ["-t", "tmpfs", "-o", "size=4m,mode=0700", "tmpfs", place.root])),
          () => Effect.sync(() => execFileSync("umount", ["-l", place.root]))
        )
        yield* Effect.addFinalizer(() =>
          Effect.sync(() => shimsOf(place.state).forEach((pid) => process.kill(pid, "SIGKILL")))
        )
        const { address } = yield* daemonOn(place)
        const go = `go-${process.pid}`
        const script = `echo ready; while [ ! -e /tmp/${go} ]; do sleep 0.05; done; seq 1 20000`
        const running = yield* start(["run", "--id", "late", "--rootfs", rootfs, "sh", "-c", script], { address })
        const log = join(place.root, "logs/default/late/init.log")
        const has = (text: string) => {
          try {
            return readFileSync(log, "utf8").includes(text)
          } catch {
            return false
          }
        }
        yield* Effect.repeat(
          Effect.sync(() => has("ready")),
          { until: (met) => met, schedule: Schedule.spaced("20 millis") }
        )
        const { bavail, bsize } = statfsSync(place.root)
        const filler = join(place.root, "filler")
        yield* Effect.ignore(Effect.try(() => writeFileSync(filler, Buffer.alloc(bavail * bsize + 1))))
        const waiter = yield* Effect.forkChild(finish(running))
        yield* Effect.acquireRelease(
          Effect.sync(() => writeFileSync(join(rootfs, "tmp", go), "")),
          () => Effect.sync(() => rmSync(join(rootfs, "tmp", go), { force: true }))
        )
        // Longer than an exit waits for its log.
        yield* Effect.sleep("5 seconds")
        rmSync(filler)
        const { code, stderr, stdout } = yield* Fiber.join(waiter)
        assert.strictEqual(code, 0)
        assert.strictEqual(stderr, "berth: the output is truncated, it could not all be logged in time\n")
        assert.match(stdout, /^ready\n1\n2\n/)
      }).pipe(Effect.scoped),
    60_000
  )
})

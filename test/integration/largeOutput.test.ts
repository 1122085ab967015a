/**
 * A lot of output through the command line, to the byte: live, from the log, and in and out again. `BERTH_TEST_OUTPUT_MIB` says how much, 64 where it is not
 * set. And a reader that reads nothing, of which the container must not notice anything.
 */
import { assert, layer } from "@effect/vitest"
import { Context, Effect, Fiber, Layer } from "effect"
import { spawn } from "node:child_process"
import { createHash } from "node:crypto"
import { berth, daemon } from "../support/daemon.ts"
import type { Daemon } from "../support/daemon.ts"
import { canRunContainers, rootfsOfFile } from "../support/rootfs.ts"

class Place extends Context.Service<Place, Daemon>()("test/Place") {}

const rootfs = canRunContainers ? ["--rootfs", rootfsOfFile()] : []
const mib = 1024 * 1024
const size = Number(process.env["BERTH_TEST_OUTPUT_MIB"] ?? 64) * mib
const patience = { timeout: 60_000 + (size / mib) * 2000 }

/** Numbers, one a line: nowhere the same, and easy to make on both sides. */
const script = `seq 1 1000000000 | head -c ${size}`
const expected = () => {
  const hash = createHash("sha256")
  let left = size
  for (let n = 1; left > 0;) {
    let block = ""
    for (let i = 0; i < 10_000; i++) block += `${n++}\n`
    const piece = block.slice(0, left)
    hash.update(piece)
    left -= piece.length
  }
  return { code: 0, bytes: size, sha256: hash.digest("hex") }
}

/** Runs berth, with the output of a script of this machine as its input, and gives the hash of what it prints. */
const hashed = (args: ReadonlyArray<string>, input = "true") =>
  Effect.flatMap(Place, ({ address }) =>
    Effect.callback<{ readonly code: number | null; readonly bytes: number; readonly sha256: string }>((resume) => {
      const command = `(${input}) | exec "$0" "$@"`
      const child = spawn("/bin/bash", ["-c", command, berth, "--address", address, ...args], {
        stdio: ["ignore", "pipe", "inherit"]
      })
      const hash = createHash("sha256")
      let bytes = 0
      child.stdout.on("data", (chunk: Buffer) => {
        bytes += chunk.length
        hash.update(chunk)
      })
      child.once("close", (code) => resume(Effect.succeed({ code, bytes, sha256: hash.digest("hex") })))
    })
  )

if (canRunContainers) {
  layer(Layer.effect(Place, daemon()), { excludeTestServices: true, timeout: "60 seconds" })(
    "a lot of output",
    (it) => {
      it.effect(
        "is whole in attach and in logs, and a reader that stands still holds up nobody",
        () =>
          Effect.gen(function* () {
            const { address } = yield* Place
            const program = ["sh", "-c", `read go; ${script}`]
            yield* Effect.acquireRelease(hashed(["run", "-d", "-i", "--id", "big", ...rootfs, ...program]), () =>
              hashed(["rm", "-f", "big"])
            )
            // Its output is a pipe that nobody reads.
            yield* Effect.acquireRelease(
              Effect.sync(() =>
                spawn(berth, ["--address", address, "logs", "-f", "big"], { stdio: ["ignore", "pipe", "inherit"] })
              ),
              (child) => Effect.sync(() => child.kill("SIGKILL"))
            )
            const watcher = yield* Effect.forkChild(hashed(["attach", "--no-stdin", "big"]), { startImmediately: true })
            const typist = yield* hashed(["attach", "big"], "echo go")
            const wanted = expected()
            assert.deepStrictEqual(typist, wanted)
            assert.deepStrictEqual(yield* Fiber.join(watcher), wanted)
            assert.deepStrictEqual(yield* hashed(["logs", "big"]), wanted)
            const last = yield* hashed(["logs", "--tail", "1", "big"])
            assert.isBelow(last.bytes, 12)
          }),
        patience
      )

      it.effect(
        "goes into a process and comes out of it again",
        () =>
          Effect.gen(function* () {
            assert.deepStrictEqual(yield* hashed(["run", "-i", ...rootfs, "cat"], script), expected())
          }),
        patience
      )
    }
  )
}

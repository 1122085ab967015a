/** A file system that never answers: mounts it on the folder that is named, says so, and lets go of it when its input ends, or after half a minute. */
import { Effect } from "effect"
import { openSync } from "node:fs"
import { Libc } from "../../src/layers/posix/Libc.ts"

const [, , folder = ""] = process.argv

void Effect.gen(function* () {
  const libc = yield* Libc
  const fd = openSync("/dev/fuse", "r+")
  yield* libc.mount("fuse", folder, `fd=${fd},rootmode=40000,user_id=0,group_id=0`)
  process.stdout.write("mounted\n")
  process.stdin.resume()
  yield* Effect.timeoutOption(
    Effect.callback<void>((resume) => void process.stdin.once("end", () => resume(Effect.void))),
    "30 seconds"
  )
  // Whoever waits for an answer is told that the connection is gone.
  process.exit(0)
}).pipe(Effect.provide(Libc.layer), Effect.runPromise)

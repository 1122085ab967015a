import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { closeSync, constants, openSync, writeSync } from "node:fs"
import { join } from "node:path"
import * as OutputPump from "../../../src/layers/io/OutputPump.ts"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import { temporaryFolder } from "../../support/folder.ts"

describe("OutputPump", () => {
  it.live("does not wait for the end of what somebody prints faster than it reads", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "stdout")
      yield* Effect.flatMap(Libc, (libc) => libc.mkfifo(path, 0o600))
      const writer = yield* Effect.acquireRelease(
        Effect.sync(() => openSync(path, constants.O_RDWR)),
        (fd) => Effect.sync(() => closeSync(fd))
      )
      const print = () => writeSync(writer, Buffer.alloc(32 * 1024))
      let taken = 0
      const pump = yield* OutputPump.start({
        fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK),
        stream: "stdout",
        buffer: Buffer.alloc(64 * 1024),
        pipeLimit: 1024 * 1024,
        // A pipe that is full again whenever it has been read.
        log: {
          add: (_stream, bytes) => {
            taken += bytes.length
            print()
            return true
          },
          end: () => {},
          onRoom: (resume) => resume()
        }
      })
      print()
      yield* pump.drain
      assert.isTrue(taken >= 1024 * 1024 && taken < 4 * 1024 * 1024, String(taken))
    }).pipe(Effect.provide(Libc.layer))
  )
})

import { assert, it } from "@effect/vitest"
import { Clock, Deferred, Duration, Effect, Logger } from "effect"
import { chmodSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as LoggerProgram from "../../../src/layers/io/LoggerProgram.ts"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import { ContainerId, Namespace } from "../../../src/schema/Ids.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { steppingBy } from "../../support/wallClock.ts"

const ref = { namespace: Namespace.make("default"), containerId: ContainerId.make("web"), execId: null }

/** The true clock with short pauses, but for what hangs on the wall: that is set an hour forwards each time it is read. */
const steppingClock = steppingBy(3_600_000, (clock, duration) =>
  clock.sleep(Duration.toMillis(duration) > 1000 ? duration : Duration.divideUnsafe(duration, 50))
)

it.live("a program that ends again and again is given up, also while the wall clock is being set", () =>
  Effect.gen(function* () {
    const directory = yield* temporaryFolder
    const libc = yield* Libc
    for (const name of ["stdout", "stderr"]) yield* libc.mkfifo(join(directory, name), 0o600)
    const path = join(directory, "program")
    writeFileSync(path, "#!/bin/sh\nexec 5>&-\n")
    chmodSync(path, 0o755)
    const given = yield* Deferred.make<void>()
    const discard = Effect.asVoid(Deferred.succeed(given, undefined))
    const options = { ref, path, args: [], directory, discard, unread: Effect.succeed(0) }
    const { drained } = yield* Effect.gen(function* () {
      const program = yield* LoggerProgram.start(options)
      yield* Deferred.await(given)
      return program
    }).pipe(Effect.provideServiceEffect(Clock.Clock, steppingClock), Effect.timeout("10 seconds"))
    assert.strictEqual(yield* drained, "truncated")
  }).pipe(Effect.scoped, Effect.provide([Libc.layer, Logger.layer([])]))
)

/** A process for SpoolPump.test.ts: copies the FIFO `stdout` of a folder to its log, and says when it has begun. */
import { Effect } from "effect"
import { constants, openSync } from "node:fs"
import { join } from "node:path"
import { structured } from "../../../src/layers/io/LogFormat.ts"
import * as LogWriter from "../../../src/layers/io/LogWriter.ts"
import * as SpoolPump from "../../../src/layers/io/SpoolPump.ts"
import { Libc } from "../../../src/layers/posix/Libc.ts"

const [folder = "", maxSize, maxFiles] = process.argv.slice(2)
const logFile = join(folder, "init.log")
const path = join(folder, "stdout")

const program = Effect.gen(function* () {
  const limits = maxSize === undefined ? null : { maxSize: Number(maxSize), maxFiles: Number(maxFiles) }
  const pipes = yield* Effect.flatMap(Libc, (libc) => libc.pipes)
  const log = yield* LogWriter.open(logFile, structured, limits)
  yield* SpoolPump.start({
    fd: openSync(path, constants.O_RDONLY | constants.O_NONBLOCK),
    stream: "stdout",
    log,
    buffer: Buffer.alloc(64 * 1024),
    pipeLimit: 1024 * 1024,
    pipes,
    path: `${path}.spool`,
    logFile
  })
  yield* Effect.sync(() => void process.stdout.write("copying"))
  return yield* Effect.never
})

Effect.runFork(Effect.scoped(program).pipe(Effect.provide(Libc.layer)))

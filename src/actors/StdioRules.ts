/** What standard streams a process may have, and what its record says of them. */
import { Effect, Schema } from "effect"
import { InvalidArgument } from "../schema/Errors.ts"
import { defaultStdio, Stdio } from "../schema/Process.ts"

// Apps that embed the services come here without a boundary that decodes.
const decode = Schema.decodeUnknownEffect(Schema.toType(Stdio))

/** What was asked for, or the default; InvalidArgument where no process can have that. */
export const vetted = Effect.fnUntraced(function* (asked: Stdio | undefined, terminal: boolean) {
  const stdio = yield* Effect.mapError(
    decode(asked ?? defaultStdio),
    (error) => new InvalidArgument({ field: "stdio", problem: error.message.replaceAll(/\s+/g, " ") })
  )
  const { _tag } = stdio.log
  if (terminal && (_tag === "fifo" || _tag === "binary")) {
    return yield* new InvalidArgument({ field: "stdio.log", problem: `a terminal cannot log to "${_tag}"` })
  }
  return stdio
})

/** In place of a path: `WriteStdin` is the way in. */
const fed = "stream"

/** Where the streams are for whoever looks at the record. A terminal has no standard error of its own. */
export const paths = ({ log, stdin }: Stdio, logFile: string | null, terminal: boolean) => {
  if (log._tag === "fifo") {
    const { directory } = log
    return { stdin: stdin ? `${directory}/stdin` : null, stdout: `${directory}/stdout`, stderr: `${directory}/stderr` }
  }
  const output = log._tag === "json" ? logFile : log._tag === "file" ? log.path : null
  return { stdin: stdin ? fed : null, stdout: output, stderr: terminal ? null : output }
}

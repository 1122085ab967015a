/** ProcessIo on a real system: streams for most processes, a terminal for those that ask for one. */
import { Effect, Layer } from "effect"
import { ProcessIo } from "../../services/ProcessIo.ts"
import type { Libc } from "../posix/Libc.ts"
import * as FifoIo from "./FifoIo.ts"
import * as TerminalIo from "./TerminalIo.ts"

export const layer: Layer.Layer<ProcessIo, never, Libc> = Layer.effect(
  ProcessIo,
  Effect.gen(function* () {
    const openStreams = yield* FifoIo.make
    const openTerminal = yield* TerminalIo.make
    return ProcessIo.of({
      open: Effect.fn("ProcessIo.open")((request) =>
        request.terminal === true ? openTerminal(request) : openStreams(request)
      )
    })
  })
)

/** ProcessIo on a real system: streams for most processes, a terminal for those that ask for one. */
import { Effect, Layer } from "effect"
import { ProcessIo } from "../../services/ProcessIo.ts"
import { forStreams, hasRoom, spare } from "../posix/Descriptors.ts"
import type { Libc } from "../posix/Libc.ts"
import { noDescriptor } from "./DiskFailure.ts"
import * as FifoIo from "./FifoIo.ts"
import * as TerminalIo from "./TerminalIo.ts"

export const layer: Layer.Layer<ProcessIo, never, Libc> = Layer.effect(
  ProcessIo,
  Effect.gen(function* () {
    const openStreams = yield* FifoIo.make
    const openTerminal = yield* TerminalIo.make
    return ProcessIo.of({
      open: Effect.fn("ProcessIo.open")((request) => {
        const opened = request.terminal === true ? openTerminal(request) : openStreams(request)
        // A new one is refused before anything is made, or it would be refused half-made. One that is taken over has had its descriptors before.
        const room = hasRoom(request.fresh === true ? spare + forStreams : spare)
        return Effect.flatMap(room, (enough) => (enough ? opened : Effect.fail(noDescriptor())))
      })
    })
  })
)

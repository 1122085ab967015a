/**
 * Opens what a process reads and writes, and sees to the size of its terminal. The last size that was asked for wins, whenever that was: while the process
 * runs, while it is being made, or before anybody began to make it.
 */
import { Effect } from "effect"
import type { Ref } from "../schema/Host.ts"
import { processKey } from "../schema/Ids.ts"
import type { OciProcess } from "../schema/OciSpec.ts"
import type { TerminalSize } from "../schema/Process.ts"
import type { IoRequest, OpenIo } from "../services/ProcessIo.ts"
import { ProcessIo } from "../services/ProcessIo.ts"

const largest = 65_535

/** The size that a specification asks for; `null` where it asks for none, or for one that no terminal can have. */
const sizeIn = (process: OciProcess | undefined): TerminalSize | null => {
  const { height = 0, width = 0 } = process?.consoleSize ?? {}
  return Math.min(height, width) >= 1 && Math.max(height, width) <= largest ? { width, height } : null
}

export const makeTerminals = Effect.gen(function* () {
  const processIo = yield* ProcessIo
  const opened = new Map<string, OpenIo>()
  const wanted = new Map<string, TerminalSize>()

  const open = (request: IoRequest) =>
    Effect.tap(processIo.open(request), (io) => {
      const key = processKey(request.ref)
      wanted.delete(key)
      return Effect.acquireRelease(
        Effect.sync(() => opened.set(key, io)),
        () => Effect.sync(() => opened.get(key) === io && opened.delete(key))
      )
    })

  return {
    /** What `ProcessIo.open` opens, for as long as the scope is open. */
    open,
    /** The same for a process that is to be made, with the size that its terminal is to have from its first moment on. */
    openFor: Effect.fnUntraced(function* (request: IoRequest, process: OciProcess | undefined) {
      const terminal = process?.terminal === true
      const size = terminal ? (wanted.get(processKey(request.ref)) ?? sizeIn(process)) : null
      return { io: yield* open({ ...request, terminal, size, fresh: true }), size, terminal }
    }),
    resize: (ref: Ref, size: TerminalSize) =>
      Effect.suspend(() => {
        const key = processKey(ref)
        const io = opened.get(key)
        if (io !== undefined) return Effect.asVoid(io.resize(size))
        wanted.set(key, size)
        return Effect.void
      }),
    /** A process, or a container with its processes, will not be made: what was asked for it means nothing to the next of that name. */
    forget: (ref: Ref) =>
      Effect.sync(() => {
        const key = processKey(ref)
        for (const other of wanted.keys()) if (other === key || other.startsWith(`${key}/`)) wanted.delete(other)
      })
  }
})

export type Terminals = Effect.Success<typeof makeTerminals>

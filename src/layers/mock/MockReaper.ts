/** The reaper of a pretended machine: who has ended stays a zombie until claimed. Of a pid that nobody has it knows no more than the real one does. */
import { DateTime, Deferred, Effect, Layer, Option } from "effect"
import type { Child } from "../../services/ProcessReaper.ts"
import { ProcessReaper } from "../../services/ProcessReaper.ts"
import { MockWorld } from "./MockWorld.ts"

const make = Effect.gen(function* () {
  const { guard, machine } = (yield* MockWorld).inner

  const claim = Effect.fn("MockReaper.claim")((pid: number): Effect.Effect<Child> => {
    const proc = machine.table.get(pid)
    if (proc === undefined) {
      const exit = Effect.map(DateTime.now, (exitedAt) => ({ exitStatus: 255, exitedAt, source: "unknown" as const }))
      return Effect.map(Effect.cached(exit), (once) => ({
        identity: { pid, startTime: "0", bootId: machine.bootId },
        exit: once
      }))
    }
    const take = Effect.sync(() => {
      machine.claim(proc)
      return { identity: proc.identity, exit: Deferred.await(proc.exit) }
    })
    return guard("claim", proc.ref, proc.args, take)
  })

  return ProcessReaper.of({
    claim,
    identify: (pid) =>
      Effect.sync(() => Option.map(Option.fromUndefinedOr(machine.table.get(pid)), ({ identity }) => identity)),
    isAlive: (identity) =>
      Effect.sync(() => {
        const proc = machine.find(identity)
        return proc !== undefined && !proc.ended
      }),
    signal: Effect.fn("MockReaper.signal")((identity, signal) => {
      const proc = machine.find(identity)
      if (proc === undefined) return Effect.succeed(false)
      return guard("signal", proc.ref, proc.args, machine.signal(proc, signal))
    }),
    pin: (identity, path) =>
      Effect.sync(() => {
        const proc = machine.find(identity)
        if (proc !== undefined && machine.keepsEnds) machine.pins.set(path, proc)
      }),
    recall: Effect.fn("MockReaper.recall")(function* (path) {
      const proc = machine.pins.get(path)
      if (proc === undefined || !proc.ended) return Option.none()
      const { exitStatus } = yield* Deferred.await(proc.exit)
      return Option.some({ exitStatus, exitedAt: yield* DateTime.now, source: "kernel" })
    }),
    unpin: (path) => Effect.sync(() => void machine.pins.delete(path))
  })
})

export const layer: Layer.Layer<ProcessReaper, never, MockWorld> = Layer.effect(ProcessReaper, make)

/**
 * Takes over what an earlier host of the same folder left, and clears what it had begun to make. What has ended meanwhile is told with what the kernel still knows, but not before all are here: the
 * end of init waits for those of its execs.
 */
import { DateTime, Deferred, Effect, Exit, Option, Scope, Semaphore } from "effect"
import type { Fiber } from "effect"
import { NotFound } from "../schema/Errors.ts"
import type { HostedRecord, Ref } from "../schema/Host.ts"
import type { ExecId } from "../schema/Ids.ts"
import { containerKey, processKey } from "../schema/Ids.ts"
import { OciRuntime } from "../services/OciRuntime.ts"
import type { HostError } from "../services/ProcessHost.ts"
import type { Child } from "../services/ProcessReaper.ts"
import { ProcessReaper } from "../services/ProcessReaper.ts"
import { TaskDirectory } from "../services/TaskDirectory.ts"
import type { Container } from "./Container.ts"
import type { Live } from "./LiveProcess.ts"
import * as LiveProcess from "./LiveProcess.ts"
import type { Terminals } from "./Terminals.ts"

/** The parts of a host that this fills. */
export interface Adopter {
  readonly containers: Map<string, Container>
  readonly terminals: Terminals
  /** Tells the end of a process; `execs` are those of the container whose init it is. */
  readonly watch: (live: Live, child: Child, execs: Map<ExecId, Live> | null) => Effect.Effect<unknown>
}

/** Every process that has a record. One that cannot be taken over is logged and left out. */
export const adoptAll = Effect.fnUntraced(function* ({ containers, terminals, watch }: Adopter) {
  const runtime = yield* OciRuntime
  const reaper = yield* ProcessReaper
  const directory = yield* TaskDirectory
  const scope = yield* Effect.scope

  const adopt = Effect.fnUntraced(function* (record: HostedRecord, processScope: Scope.Closeable) {
    const { exit, identity, logFile, ref, stdio, terminal = false } = record
    const driver = yield* runtime.driver(record.runtime)
    const key = containerKey(ref)
    const folder = directory.directory(ref)
    const container = containers.get(key)
    if (ref.execId !== null && container === undefined)
      return yield* new NotFound({ kind: "task", id: ref.containerId })
    const io = yield* terminals
      .open({ ref, stdio, directory: folder, logFile, terminal })
      .pipe(Scope.provide(processScope))
    yield* io.handOver
    const live = yield* LiveProcess.make(record, io, processScope)
    const execs = container?.execs ?? new Map<ExecId, Live>()
    if (ref.execId !== null) execs.set(ref.execId, live)
    else {
      const target = { namespace: ref.namespace, containerId: ref.containerId, bundle: folder }
      const underWay = new Set<Fiber.Fiber<void, HostError>>()
      const forgotten = Deferred.makeUnsafe<boolean>()
      // Its end may lie long back, and what was done about it is not known.
      if (exit !== null) Deferred.doneUnsafe(forgotten, Effect.succeed(false))
      const removal = Semaphore.makeUnsafe(1)
      containers.set(key, {
        target,
        driver,
        init: live,
        execs,
        underWay,
        forgotten,
        removal,
        maybeFrozen: record.paused
      })
    }
    if (exit !== null) return null
    const found = yield* reaper.identify(identity.pid)
    const same = Option.exists(
      found,
      ({ bootId, startTime }) => startTime === identity.startTime && bootId === identity.bootId
    )
    const unknown = Effect.map(DateTime.now, (exitedAt) => ({ exitStatus: 255, exitedAt, source: "unknown" as const }))
    const child: Child = same ? yield* reaper.claim(identity.pid) : { identity, exit: unknown }
    return { live, child, execs: ref.execId === null ? execs : null }
  })

  const takeOver = Effect.fnUntraced(function* (record: HostedRecord) {
    const processScope = yield* Scope.fork(scope)
    return yield* Effect.catch(adopt(record, processScope), (error) =>
      Scope.close(processScope, Exit.void).pipe(
        Effect.andThen(Effect.logError(`cannot take over ${processKey(record.ref)}: ${error.message}`)),
        Effect.as(null)
      )
    )
  })

  /** An earlier host died while it made this: nobody was ever told of it. Which driver it was is not known; one that knows nothing of it does nothing. */
  const clear = Effect.fnUntraced(function* (ref: Ref) {
    if (ref.execId === null) {
      const target = { namespace: ref.namespace, containerId: ref.containerId, bundle: directory.directory(ref) }
      for (const { available, name } of yield* runtime.list) {
        if (!available) continue
        const driver = yield* runtime.driver(name)
        yield* driver.delete(target, { force: true })
      }
    }
    yield* directory.remove(ref)
  })

  for (const ref of yield* directory.unfinished) {
    yield* Effect.catch(clear(ref), (error) =>
      Effect.logWarning(`cannot clear what is left of ${processKey(ref)}: ${error.message}`)
    )
  }
  const left = yield* directory.list
  const initsFirst = left.toSorted((a, b) => Number(a.ref.execId !== null) - Number(b.ref.execId !== null))
  const taken = yield* Effect.forEach(initsFirst, takeOver)
  yield* Effect.forEach(taken, (each) => (each === null ? Effect.void : watch(each.live, each.child, each.execs)), {
    discard: true
  })
})

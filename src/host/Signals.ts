/**
 * Signals to processes of a container, also to those that berth did not start. Only a process is ever hit, never a pid: whoever has a pid is identified first, and
 * then the runtime must still count it to the container. Had the pid been given to a stranger in between, the signal would find that its process has ended.
 */
import { Effect, Option, Result } from "effect"
import type { PermissionDenied } from "../schema/Errors.ts"
import { NotFound } from "../schema/Errors.ts"
import type { HostSignal } from "../schema/Host.ts"
import type { Identity } from "../schema/TaskState.ts"
import type { HostError } from "../services/ProcessHost.ts"
import { ProcessReaper } from "../services/ProcessReaper.ts"
import type { Container } from "./Container.ts"
import type { Freezer } from "./Freezer.ts"

const sigkill = 9
/** How often the processes are counted again while new ones appear. */
const rounds = 8

export const makeSignals = Effect.fnUntraced(function* ({ letAllDie, letDie }: Freezer) {
  const reaper = yield* ProcessReaper

  const finished = (id: string) => new NotFound({ kind: "process", id })

  /** An init that has ended, but is not told of yet, has no processes to count. */
  const pidsOf = ({ driver, init, target }: Container) =>
    Effect.catch(driver.pids(target), (error) =>
      Effect.flatMap(
        Effect.orElseSucceed(reaper.signal(init.record.identity, 0), () => true),
        (lives) => Effect.fail<HostError>(lives ? error : finished(target.containerId))
      )
    )

  /**
   * Execs first, for the end of init is theirs too, and they might not come to hear of the signal; then init, before the end of a child can have it end by
   * itself; then the others.
   */
  const inOrder = ({ execs, init }: Container, pids: ReadonlyArray<number>) => {
    const known = [...execs.values(), init].map(({ record }) => record.identity.pid)
    return [...known.filter((pid) => pids.includes(pid)), ...pids.filter((pid) => !known.includes(pid))]
  }

  /** To each once; to those that come while it is sent too. */
  const toAll = Effect.fnUntraced(function* (container: Container, signal: number) {
    const holders = new Map<number, Identity>()
    const done = new Set<number>()
    const refused = new Set<number>()
    let refusal: PermissionDenied | undefined
    for (let round = 0; round < rounds; round++) {
      let news = false
      for (const pid of inOrder(container, yield* pidsOf(container))) {
        if (done.has(pid) || refused.has(pid)) continue
        const holder = holders.get(pid)
        if (holder !== undefined) {
          const sent = yield* Effect.result(reaper.signal(holder, signal))
          if (Result.isFailure(sent)) {
            if (sent.failure._tag !== "PermissionDenied") return yield* sent.failure
            // The others get it all the same.
            refusal = sent.failure
            refused.add(pid)
          } else if (sent.success) done.add(pid)
          if (done.has(pid) || refused.has(pid)) continue
        }
        const found = yield* reaper.identify(pid)
        if (Option.isNone(found)) continue
        news = true
        holders.set(pid, found.value)
      }
      if (!news) break
    }
    if (done.size === 0) return yield* refusal ?? finished(container.target.containerId)
    if (signal === sigkill) yield* letAllDie(container)
  })

  const toPid = Effect.fnUntraced(function* (container: Container, pid: number, signal: number) {
    const holder = yield* reaper.identify(pid)
    if (Option.isNone(holder) || !(yield* pidsOf(container)).includes(pid)) return yield* finished(`${pid}`)
    if (!(yield* reaper.signal(holder.value, signal))) return yield* finished(`${pid}`)
    if (signal !== sigkill) return
    yield* holder.value.startTime === container.init.record.identity.startTime &&
    pid === container.init.record.identity.pid
      ? letAllDie(container)
      : letDie(container, holder.value)
  })

  return Effect.fnUntraced(function* (container: Container, { all, pid, ref, signal }: HostSignal) {
    const live = ref.execId === null ? container.init : container.execs.get(ref.execId)
    if (live === undefined) return yield* new NotFound({ kind: "exec", id: ref.execId ?? "" })
    if (pid !== undefined) return yield* toPid(container, pid, signal)
    if (all) return yield* toAll(container, signal)
    const { exit, identity } = live.record
    if (exit !== null || !(yield* reaper.signal(identity, signal))) {
      return yield* finished(ref.execId ?? ref.containerId)
    }
    if (signal === sigkill) yield* live === container.init ? letAllDie(container) : letDie(container, identity)
  })
})

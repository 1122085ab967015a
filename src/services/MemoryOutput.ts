/**
 * The structured log in memory, for tests and simulation: what a pretended process prints goes in by `append`, and readers get it through an ordinary
 * OutputLog. It uses no timers and no I/O of its own, so that it is deterministic under any scheduler. It keeps everything until it is removed.
 */
import { Cause, Context, DateTime, Deferred, Effect, Layer, Stream } from "effect"
import { processKey } from "../schema/Ids.ts"
import type { ProcessRef } from "../schema/Ids.ts"
import type { OutputChunk } from "../schema/Process.ts"
import { OutputLog } from "./OutputLog.ts"
import type { ReadOptions } from "./OutputLog.ts"
import * as OutputTail from "./OutputTail.ts"

interface Log {
  readonly chunks: Array<OutputChunk>
  ended: boolean
  /** Replaced at every change, after waking whoever waits for it. */
  changed: Deferred.Deferred<void>
}

export class MemoryOutput extends Context.Service<
  MemoryOutput,
  {
    /** Adds a piece of output; readers see it at once. The bytes are copied. */
    readonly append: (ref: ProcessRef, stream: OutputChunk["stream"], bytes: Uint8Array) => Effect.Effect<void>
    /** Nothing more comes: readers that follow end here, `ended` or not. `prepare` and `append` take it back. */
    readonly end: (ref: ProcessRef) => Effect.Effect<void>
    /** The reading side, over the same logs. */
    readonly outputLog: OutputLog["Service"]
  }
>()("berth/services/MemoryOutput") {
  /** MemoryOutput and OutputLog over the same logs. */
  static readonly layer: Layer.Layer<MemoryOutput | OutputLog> = Layer.effect(
    OutputLog,
    Effect.map(MemoryOutput, (memory) => memory.outputLog)
  ).pipe(Layer.provideMerge(Layer.sync(MemoryOutput, () => make())))
}

const make = (): MemoryOutput["Service"] => {
  const logs = new Map<string, Log>()
  const open = (ref: ProcessRef): Log => {
    const key = processKey(ref)
    const log = logs.get(key) ?? { chunks: [], ended: false, changed: Deferred.makeUnsafe<void>() }
    logs.set(key, log)
    return log
  }
  const change = (ref: ProcessRef, apply: (log: Log) => void) =>
    Effect.suspend(() => {
      const log = open(ref)
      apply(log)
      const waiting = log.changed
      log.changed = Deferred.makeUnsafe<void>()
      return Effect.asVoid(Deferred.succeed(waiting, undefined))
    })

  /** Where the newest lines begin, and what to leave out from there on. */
  const tailOf = ({ chunks }: Log, tail: number, keep: (chunk: OutputChunk) => boolean) => {
    const counter = OutputTail.make(tail)
    let next = chunks.length
    for (let enough = tail === 0; !enough && next > 0;) {
      next--
      const chunk = chunks[next]
      enough = chunk !== undefined && keep(chunk) && counter.add(chunk)
    }
    return { next, skip: counter.skip() }
  }

  const follow = (log: Log, { ended, live = false, since = null, stream = null, tail = null }: ReadOptions) =>
    Effect.suspend(() => {
      const ofStream = (chunk: OutputChunk) => stream === null || chunk.stream === stream
      const start =
        live || tail === null
          ? { next: live ? log.chunks.length : 0, skip: { stdout: 0, stderr: 0 } }
          : tailOf(log, tail, ofStream)
      const { skip } = start
      const select = (chunks: ReadonlyArray<OutputChunk>) =>
        chunks
          .filter(ofStream)
          .flatMap((chunk) => OutputTail.leaveOut(skip, chunk) ?? [])
          .filter(({ at }) => since === null || DateTime.toEpochMillis(at) >= DateTime.toEpochMillis(since))
      const over = Deferred.makeUnsafe<void>()
      const finish = Deferred.succeed(over, undefined)
      let { next } = start
      let announced = !live
      const pull: Effect.Effect<readonly [OutputChunk, ...Array<OutputChunk>], Cause.Done> = Effect.suspend(() => {
        if (!announced) {
          announced = true
          return Effect.map(DateTime.now, (at) => [{ stream: "stdout", at, bytes: new Uint8Array(0) }] as const)
        }
        const last = log.ended || Deferred.isDoneUnsafe(over)
        const fresh = log.chunks.slice(next)
        const [first, ...rest] = select(fresh)
        next = log.chunks.length
        if (first !== undefined) return Effect.succeed([first, ...rest] as const)
        if (last) return Cause.done()
        if (fresh.length > 0) return pull
        return Effect.andThen(Effect.raceFirst(Deferred.await(log.changed), Deferred.await(over)), pull)
      })
      const wait =
        ended === null ? Effect.asVoid(finish) : Effect.asVoid(Effect.forkScoped(Effect.ensuring(ended, finish)))
      return Effect.as(wait, pull)
    })

  return {
    append: (ref, stream, bytes) =>
      Effect.flatMap(DateTime.now, (at) =>
        change(ref, (log) => {
          log.chunks.push({ stream, at, bytes: bytes.slice() })
          log.ended = false
        })
      ),
    end: (ref) =>
      change(ref, (log) => {
        log.ended = true
      }),
    outputLog: {
      prepare: (ref) =>
        Effect.as(
          change(ref, (log) => {
            log.ended = false
          }),
          `/memory/logs/${processKey(ref)}`
        ),
      read: (ref, options) => Stream.scoped(Stream.fromPull(Effect.suspend(() => follow(open(ref), options)))),
      remove: (ref) =>
        Effect.sync(() => {
          const key = processKey(ref)
          for (const name of logs.keys()) if (name === key || name.startsWith(`${key}/`)) logs.delete(name)
        })
    }
  }
}

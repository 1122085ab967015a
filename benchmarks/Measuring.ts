/** A measuring process (`targets/main.ts`) as a resource: one request at a time, and it ends with its scope. */
import { Effect, Schema, Semaphore } from "effect"
import { fork } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Failure, attempt } from "./Failure.ts"
import type { Request, Sample, Settings } from "./Protocol.ts"
import { stepNames } from "./Protocol.ts"

export interface Measured {
  readonly samples: ReadonlyArray<Sample>
  /** All of them together. */
  readonly milliseconds: number
}

export interface Measuring {
  readonly run: (count: number, concurrency: number) => Effect.Effect<Measured, Failure>
  /** Starts idle containers, one after the other. */
  readonly hold: (count: number) => Effect.Effect<void, Failure>
  /** Ends and deletes them. */
  readonly release: Effect.Effect<void, Failure>
}

const Step = Schema.optionalKey(Schema.Finite)
const Reply = Schema.fromJsonString(
  Schema.Union([
    Schema.TaggedStruct("Done", {
      samples: Schema.Array(
        Schema.Struct({
          record: Step,
          create: Step,
          start: Step,
          wait: Step,
          delete: Step,
          unrecord: Step,
          total: Schema.Finite
        } satisfies Record<(typeof stepNames)[number] | "total", unknown>)
      ),
      milliseconds: Schema.Finite
    }),
    Schema.TaggedStruct("Failed", { problem: Schema.String })
  ])
)
const decode = Schema.decodeUnknownEffect(Reply)

const program = fileURLToPath(new URL("./targets/main.ts", import.meta.url))
/** For the copy of a process's memory that a fork makes; berth's shim has the same. */
const flags = ["--max-semi-space-size=1"]
const deadline = "5 minutes"

/** Starts the process and opens its target. */
export const open = Effect.fnUntraced(function* (settings: Settings) {
  const what = `${settings.target} with ${settings.runtime}`
  const child = yield* Effect.acquireRelease(
    attempt(what, () => fork(program, [], { execArgv: settings.target === "bare" ? flags : [], detached: true })),
    (child) =>
      Effect.callback<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void))
        if (child.connected) child.disconnect()
      }).pipe(Effect.timeoutOption("10 seconds"), Effect.andThen(Effect.sync(() => child.kill("SIGKILL"))))
  )
  const oneAtATime = yield* Semaphore.make(1)

  const exchange = (request: Request) =>
    Effect.callback<unknown, Failure>((resume) => {
      const end = (result: Effect.Effect<unknown, Failure>) => {
        child.off("message", onMessage).off("exit", onExit)
        resume(result)
      }
      const onMessage = (text: unknown) => end(Effect.succeed(text))
      const onExit = () => end(Effect.fail(new Failure({ what, problem: "its process ended" })))
      child.on("message", onMessage).on("exit", onExit)
      child.send(JSON.stringify(request))
      return Effect.sync(() => child.off("message", onMessage).off("exit", onExit))
    }).pipe(
      Effect.timeoutOrElse({
        duration: deadline,
        orElse: () => Effect.fail(new Failure({ what, problem: `no answer within ${deadline}` }))
      }),
      oneAtATime.withPermit
    )
  const ask = Effect.fnUntraced(function* (request: Request) {
    const reply = yield* decode(yield* exchange(request)).pipe(
      Effect.mapError((error) => new Failure({ what, problem: error.message }))
    )
    return reply._tag === "Done" ? reply : yield* new Failure({ what, problem: reply.problem })
  })

  yield* ask({ _tag: "Open", settings })
  const measuring: Measuring = {
    run: (count, concurrency) => ask({ _tag: "Run", count, concurrency }),
    hold: (count) => Effect.asVoid(ask({ _tag: "Hold", count })),
    release: Effect.asVoid(ask({ _tag: "Release" }))
  }
  return measuring
})

/**
 * What a thousand subscribers that never read cost everybody else: lives of containers through one daemon, by turns with and without them, and the daemon's
 * memory. It prints what it found; it judges nothing.
 */
import { Console, Duration, Effect, Result, Schedule } from "effect"
import { dirname } from "node:path"
import { WebSocket } from "ws"
import { Berth, ContainerId, Spec, Tasks } from "../src/index.ts"
import { ask } from "../test/support/http.ts"
import { Failure } from "./Failure.ts"
import * as Main from "./Main.ts"
import { processesOf, proportionalMemory } from "./Processes.ts"
import * as BerthDaemon from "./servers/BerthDaemon.ts"
import { summary } from "./Statistics.ts"

const [connections, streams] = [10, 100]

/** A connection with subscriptions from the first event on, of which nothing is ever read. */
const deaf = (socket: string) =>
  Effect.acquireRelease(
    Effect.callback<WebSocket, Failure>((resume) => {
      const ws = new WebSocket(`ws+unix:${socket}:/rpc`)
      ws.once("error", ({ message }) => resume(Effect.fail(new Failure({ what: "subscriber", problem: message }))))
      ws.once("open", () => {
        ws.on("error", () => {})
        ws.pause()
        const subscribe = { _tag: "Request", tag: "Events.Subscribe", payload: { follow: true }, headers: [] }
        for (let id = 0; id < streams; id++) ws.send(`${JSON.stringify({ ...subscribe, id: `${id}` })}\n`)
        resume(Effect.succeed(ws))
      })
    }),
    (ws) => Effect.sync(() => ws.terminate())
  )

const measure = Effect.fnUntraced(function* ({ runtime, size: count, times: rounds, workspace }: Main.Given) {
  const folders = workspace.folders("berth")
  const socket = yield* BerthDaemon.start(workspace.node, folders, runtime)
  const spec = Result.getOrThrow(Spec.make({ rootfs: { path: workspace.rootfs }, args: ["/bin/true"] }))
  const memory = Effect.sync(() => proportionalMemory(processesOf(dirname(folders.volatile))))
  let last = 0
  const life = Effect.gen(function* () {
    const id = ContainerId.make(`${workspace.name}-${++last}`)
    const [took] = yield* Effect.timed((yield* Tasks).run(spec, { id }))
    return Duration.toMillis(took)
  })
  const lives = Effect.replicateEffect(life, count)
  const subscribed = Effect.map(ask(socket, { path: "/metrics" }), ({ body }) =>
    body.includes(`\nberth_streams ${connections * streams}\n`)
  )
  const amongDeaf = Effect.scoped(
    Effect.gen(function* () {
      yield* Effect.replicateEffect(deaf(socket), connections)
      yield* Effect.repeat(subscribed, { until: (all) => all, schedule: Schedule.spaced("20 millis") })
      return { times: yield* lives, memory: yield* memory }
    })
  )
  const run = Effect.gen(function* () {
    yield* lives
    const rests = yield* memory
    const alone: Array<number> = []
    const among: Array<number> = []
    let most = 0
    for (let round = 0; round < rounds; round++) {
      alone.push(...(yield* lives))
      const { memory, times } = yield* amongDeaf
      among.push(...times)
      most = Math.max(most, memory)
    }
    const [before, after] = [summary(alone), summary(among)]
    const line = (name: string, { n, p50, p95 }: typeof before) =>
      `  ${name.padEnd(12)} p50 ${p50.toFixed(1)} ms, p95 ${p95.toFixed(1)} ms (n ${n})`
    yield* Console.log(`lives of a container on ${runtime} through one daemon, ${rounds} turns of each kind:`)
    yield* Console.log(line("alone", before))
    yield* Console.log(line(`with ${connections * streams}`, after))
    yield* Console.log(
      `  ratio        p50 ${(after.p50 / before.p50).toFixed(2)}, p95 ${(after.p95 / before.p95).toFixed(2)}`
    )
    yield* Console.log(`  memory of daemon and shim: ${rests.toFixed(0)} MB, with them at most ${most.toFixed(0)} MB`)
  })
  yield* Effect.provide(run, Berth.layerClient({ address: `unix://${socket}` }))
})

Main.counted(
  {
    file: "subscribers.ts",
    size: { option: "containers", usually: 25 },
    times: { option: "rounds", says: "turns of each kind", usually: 8 }
  },
  measure
)

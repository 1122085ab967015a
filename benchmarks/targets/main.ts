/**
 * A measuring process: opens one target and times lifecycles on it, as the benchmark that started it asks. Each target
 * has a process of its own, so that none pays for the memory, the children or the garbage of another.
 */
import { setTimeout } from "node:timers/promises"
import type { Reply, Request, Sample, Settings, StepName, TargetName } from "../Protocol.ts"
import type { Target } from "./Target.ts"

// Loaded one by one: the small ones must not carry the packages of the others.
const openers: Readonly<Record<TargetName, (settings: Settings) => Promise<Target>>> = {
  bare: async (settings) => (await import("./Bare.ts")).open(settings),
  embedded: async (settings) => (await import("./Berth.ts")).openEmbedded(settings),
  daemon: async (settings) => (await import("./Berth.ts")).openDaemon(settings),
  "daemon-log": async (settings) => (await import("./Berth.ts")).openDaemon(settings),
  containerd: async (settings) => (await import("./Containerd.ts")).open(settings)
}

const ending = ["/bin/true"]
const idle = ["/bin/sleep", "100000"]

/**
 * Milliseconds between two lifecycles one at a time. Linux takes a process into a cgroup several milliseconds faster
 * within some 8 ms of the time before; without a pause the floor alone would be measured in that state.
 */
const apart = 20

let prefix = ""
let opened: Target | null = null
let names = 0
const held: Array<string> = []
const newName = () => `${prefix}-${++names}`

const inUse = (): Target => {
  if (opened === null) throw new Error("nothing is open")
  return opened
}

const lifecycle = async (target: Target): Promise<Sample> => {
  const id = newName()
  const steps: { [step in StepName]?: number } = {}
  let total = 0
  const timed = async <A>(step: StepName, run: () => Promise<A>): Promise<A> => {
    const before = performance.now()
    const result = await run()
    const milliseconds = performance.now() - before
    if (target.counted.includes(step)) {
      steps[step] = milliseconds
      total += milliseconds
    }
    return result
  }
  await timed("record", () => target.record(id, ending))
  await timed("create", () => target.create(id))
  // Asked for before the start, as clients do that must not miss a short life.
  const exit = target.wait(id)
  exit.catch(() => {})
  await timed("start", () => target.start(id))
  const status = await timed("wait", () => exit)
  await timed("delete", () => target.delete(id))
  await timed("unrecord", () => target.unrecord(id))
  if (status !== 0) throw new Error(`a container ended with ${status}`)
  return { ...steps, total }
}

const run = async (count: number, concurrency: number): Promise<Reply> => {
  const target = inUse()
  const samples: Array<Sample> = []
  let left = count
  const before = performance.now()
  const one = async () => {
    while (left-- > 0) {
      if (concurrency === 1) await setTimeout(apart)
      samples.push(await lifecycle(target))
    }
  }
  await Promise.all(Array.from({ length: concurrency }, one))
  return { _tag: "Done", samples, milliseconds: performance.now() - before }
}

const hold = async (count: number) => {
  const target = inUse()
  for (let index = 0; index < count; index++) {
    const id = newName()
    await target.record(id, idle)
    await target.create(id)
    await target.start(id)
    held.push(id)
  }
}

const release = async () => {
  const target = inUse()
  for (const id of held.splice(0)) {
    await target.kill(id)
    await target.wait(id)
    await target.delete(id)
    await target.unrecord(id)
  }
}

const answer = async (request: Request): Promise<Reply> => {
  const done: Reply = { _tag: "Done", samples: [], milliseconds: 0 }
  switch (request._tag) {
    case "Open":
      prefix = request.settings.prefix
      opened = await openers[request.settings.target](request.settings)
      return done
    case "Run":
      return run(request.count, request.concurrency)
    case "Hold":
      await hold(request.count)
      return done
    case "Release":
      await release()
      return done
  }
}

const failed = (error: unknown): Reply => ({
  _tag: "Failed",
  problem: error instanceof Error ? error.message || error.name : String(error)
})

process.on("message", (text) => {
  const request: Request = JSON.parse(String(text))
  void answer(request)
    .catch(failed)
    .then((reply) => process.send?.(JSON.stringify(reply)))
})
process.on("disconnect", () => {
  void Promise.resolve(opened?.close()).finally(() => process.exit(0))
})

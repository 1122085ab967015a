/**
 * All targets with one runtime. They take turns in short rounds, and each round begins with another one, so that
 * whatever else the machine does hits all alike. Rounds of warm-up are run and forgotten.
 */
import { Console, Effect } from "effect"
import { Spec } from "berth"
import { stringify } from "../src/schema/OciJson.ts"
import { Failure } from "./Failure.ts"
import { find, versionOf } from "./Machine.ts"
import * as Measuring from "./Measuring.ts"
import type { Measured } from "./Measuring.ts"
import type { Options } from "./Options.ts"
import { proportionalMemory, processesOf } from "./Processes.ts"
import type { TargetName } from "./Protocol.ts"
import * as BerthDaemon from "./servers/BerthDaemon.ts"
import * as ContainerdDaemon from "./servers/ContainerdDaemon.ts"
import * as Workspace from "./Workspace.ts"

export interface Memory {
  /** MB without a container, and with `containers` of them. */
  readonly idle: number
  readonly held: number
  readonly containers: number
}

export interface Row {
  readonly target: TargetName
  readonly label: string
  /** One at a time, round by round. */
  readonly alone: ReadonlyArray<Measured>
  /** Several at once, round by round. */
  readonly together: ReadonlyArray<Measured>
  readonly memory: Memory | null
}

export interface Section {
  readonly runtime: string
  readonly version: string
  readonly rows: ReadonlyArray<Row>
  /** What was asked for and is not there, and why. */
  readonly skipped: ReadonlyArray<string>
}

interface Lane {
  readonly target: TargetName
  readonly label: string
  readonly server: Workspace.Folders | null
  readonly measuring: Measuring.Measuring
}

const block = 5
const togetherRounds = 3
/** Lifecycles of each lane in a round of `together`. */
const perLane = 4
/** Servers live long, and compile as they go: what they take for their first containers says little. */
const warmUps = 60

/** What runs in every container is replaced, but not what holds it. */
const specification = (rootfs: string) =>
  Effect.mapError(
    Effect.fromResult(Spec.make({ rootfs: { path: rootfs }, args: ["/bin/true"] })),
    (problem) => new Failure({ what: "specification", problem: JSON.stringify(problem) })
  )

/** Idle processes give memory back a little later. */
const settle = "2 seconds"

const memoryOf = Effect.fnUntraced(function* (lane: Lane, containers: number) {
  if (lane.server === null || containers === 0) return null
  const { volatile, durable } = lane.server
  const measure = Effect.delay(
    Effect.sync(() => proportionalMemory([...new Set([...processesOf(volatile), ...processesOf(durable)])])),
    settle
  )
  const idle = yield* measure
  yield* lane.measuring.hold(containers)
  const held = yield* measure
  yield* lane.measuring.release
  const memory: Memory = { idle, held, containers }
  return memory
})

const rotated = <A>(items: ReadonlyArray<A>, by: number): ReadonlyArray<A> => {
  const at = by % Math.max(1, items.length)
  return [...items.slice(at), ...items.slice(0, at)]
}

/** Rounds of `count` lifecycles, `concurrency` at once, on every lane in turn. */
const rounds = Effect.fnUntraced(function* (
  lanes: ReadonlyArray<Lane>,
  counts: ReadonlyArray<number>,
  concurrency: number
) {
  const all = new Map<Lane, Array<Measured>>(lanes.map((lane) => [lane, []]))
  for (const [index, count] of counts.entries()) {
    for (const lane of rotated(lanes, index)) {
      all.get(lane)?.push(yield* lane.measuring.run(count, concurrency))
    }
  }
  return all
})

const blocks = (n: number): ReadonlyArray<number> =>
  Array.from({ length: Math.ceil(n / block) }, (_, index) => Math.min(block, n - index * block))

const openLanes = Effect.fnUntraced(function* (runtime: string, binary: string, targets: ReadonlyArray<TargetName>) {
  const workspace = yield* Workspace.make(binary)
  const spec = stringify(yield* specification(workspace.rootfs))
  const skipped: Array<string> = []
  const lanes: Array<Lane> = []
  const daemonFolders = workspace.folders("daemon")
  const daemon = yield* Effect.cached(BerthDaemon.start(workspace.node, daemonFolders, runtime))
  const containerd = find("containerd")

  const open = Effect.fnUntraced(function* (
    target: TargetName,
    label: string,
    server: Workspace.Folders | null,
    socket: string
  ) {
    const folders = server ?? workspace.folders(target)
    const prefix = `${workspace.name}-${target}`
    const measuring = yield* Measuring.open({ target, runtime, binary, prefix, socket, spec, ...folders })
    lanes.push({ target, label, server, measuring })
  })
  for (const target of targets) {
    switch (target) {
      case "bare":
        yield* open(target, runtime, null, "")
        break
      case "embedded":
        yield* open(target, "berth embedded", null, "")
        break
      case "daemon":
        yield* open(target, "berth daemon", daemonFolders, yield* daemon)
        break
      case "daemon-log":
        yield* open(target, "berth daemon, json log", daemonFolders, yield* daemon)
        break
      case "containerd": {
        if (containerd === null) {
          skipped.push("containerd: not installed (Debian: apt-get install containerd)")
          break
        }
        const folders = workspace.folders(target)
        const socket = yield* ContainerdDaemon.start(containerd, folders)
        yield* open(target, `containerd ${versionOf(containerd)}`, folders, socket)
        break
      }
    }
  }
  return { lanes, skipped }
})

/**
 * The memory of each server, by its last lane: where there are several that is the one with what users have by default.
 */
const memories = Effect.fnUntraced(function* (lanes: ReadonlyArray<Lane>, containers: number) {
  const last = lanes.filter(
    ({ server }, index) => server !== null && !lanes.slice(index + 1).some((other) => other.server === server)
  )
  const found = new Map<Lane, Memory | null>()
  for (const lane of last) found.set(lane, yield* memoryOf(lane, containers))
  return found
})

/** Measures; what it started is gone when it returns. */
export const measure = Effect.fn("Section.measure")(function* (options: Options, runtime: string, binary: string) {
  const { lanes, skipped } = yield* openLanes(runtime, binary, options.targets)
  const say = (text: string) => Console.error(`${runtime}: ${text}`)
  // First, while the servers are fresh.
  if (options.idle > 0) yield* say(`memory with ${options.idle} idle containers`)
  const memory = yield* memories(lanes, options.idle)

  yield* say(`warm-up, then ${options.n} lifecycles of each target, one at a time`)
  yield* rounds(lanes, [warmUps], 1)
  const alone = yield* rounds(lanes, blocks(options.n), 1)

  const { concurrency } = options
  const counts = Array.from({ length: concurrency > 0 ? togetherRounds : 0 }, () => concurrency * perLane)
  if (concurrency > 0) {
    yield* say(`${togetherRounds} rounds of ${concurrency * perLane} lifecycles of each target, ${concurrency} at once`)
    yield* rounds(lanes, [concurrency], concurrency)
  }
  const together = yield* rounds(lanes, counts, concurrency)
  const section: Section = {
    runtime,
    version: versionOf(binary),
    rows: lanes.map((lane) => ({
      target: lane.target,
      label: lane.label,
      alone: alone.get(lane) ?? [],
      together: together.get(lane) ?? [],
      memory: memory.get(lane) ?? null
    })),
    skipped
  }
  return section
}, Effect.scoped)

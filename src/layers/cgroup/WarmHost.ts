/**
 * A process host before which the kernel is made ready to take a process into its cgroups. Linux lets every CPU pass a quiet point before the first process
 * of a while may change its group, some ten milliseconds in which a runtime stands still, and none right after (decision 0030). A change that changes nothing,
 * asked for while berth prepares the container, has the wait over by the time the runtime comes to its own.
 */
import { Effect, Layer } from "effect"
import { readFileSync } from "node:fs"
import { writeFile } from "node:fs/promises"
import { ProcessHost } from "../../services/ProcessHost.ts"
import * as Hierarchies from "./Hierarchies.ts"

export interface Options {
  /** A folder that stands for `/`, with `proc` and `sys` in it. */
  readonly root?: string
}

const none: Hierarchies.Mounts = { v1: new Map(), v2: null }

const make = Effect.fnUntraced(function* ({ root = "" }: Options) {
  const host = yield* ProcessHost
  const scope = yield* Effect.scope
  const mounts = yield* Effect.try(() =>
    Hierarchies.parseMounts(readFileSync(`${root}/proc/self/mountinfo`, "utf8"))
  ).pipe(Effect.orElseSucceed(() => none))
  let underWay = false

  /** The list of processes of the group that this process is in; `null` where there are no groups. */
  const ownList = () => {
    // Read each time: whoever is moved meanwhile must not be moved back.
    const groups = Hierarchies.parseMembership(readFileSync(`${root}/proc/self/cgroup`, "utf8"))
    for (const [name, mount] of [["", mounts.v2] as const, ...mounts.v1]) {
      const group = groups.get(name)
      const folder = mount === null || group === undefined ? null : Hierarchies.folderOf(mount, group)
      if (folder !== null) return `${root}${folder}/cgroup.procs`
    }
    return null
  }

  const moveNowhere = Effect.tryPromise(async () => {
    const list = ownList()
    // Zero stands for whoever writes it.
    if (list !== null) await writeFile(list, "0", { flag: "r+" })
  }).pipe(
    // Without the right to do this nothing is lost but time.
    Effect.ignore,
    Effect.ensuring(Effect.sync(() => void (underWay = false)))
  )
  const warm = Effect.suspend(() => {
    if (underWay) return Effect.void
    underWay = true
    return Effect.asVoid(Effect.forkIn(moveNowhere, scope, { startImmediately: true }))
  })

  return ProcessHost.of({
    ...host,
    create: (request) => Effect.andThen(warm, host.create(request)),
    exec: (request) => Effect.andThen(warm, host.exec(request))
  })
})

export const over = <E, R>(host: Layer.Layer<ProcessHost, E, R>, options: Options = {}) =>
  Layer.effect(ProcessHost, make(options)).pipe(Layer.provide(host))

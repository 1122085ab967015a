/** A limit for which this kernel has no file: refused when the task is created, by its name, and nothing of the task is left. */
import { NodeServices } from "@effect/platform-node"
import { assert, layer as suiteLayer } from "@effect/vitest"
import { Context, Effect, Layer, Result } from "effect"
import { execFileSync } from "node:child_process"
import { randomUUID } from "node:crypto"
import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs"
import { Berth, Containers, Spec, Tasks } from "../../src/index.ts"
import type { OciSpec, Resources } from "../../src/index.ts"
import { freshId } from "../support/container.ts"
import { folders } from "../support/daemon.ts"
import { leftOut } from "../support/leftOut.ts"
import { canRunContainers, installed, rootfsOfFile } from "../support/rootfs.ts"

const rootfs = rootfsOfFile()
const groups = "/sys/fs/cgroup"

class Place extends Context.Service<Place, { readonly state: string }>()("test/Place") {}

/** The files of weights that a group of version 1 has, which depend on the scheduler; `null` on a machine with version 2, which is not asked. */
const weights = () => {
  if (!canRunContainers || !existsSync(`${groups}/blkio`)) return null
  const probe = `${groups}/blkio/berth-test-${randomUUID()}`
  mkdirSync(probe)
  try {
    return readdirSync(probe).filter((name) => name.endsWith("weight"))
  } finally {
    rmdirSync(probe)
  }
}
const found = weights()
/** runc knows `blkio.bfq.weight` too, crun 1.8 does not. */
const lacksWeight = (runtime: string) =>
  found?.length === 0 ||
  (runtime === "crun" &&
    found?.includes("blkio.weight") === false &&
    /^crun version 1\.8\b/.test(execFileSync("crun", ["--version"], { encoding: "utf8" })))

/** Each with whether the runtime misses it here. No processor has huge pages of three mebibytes. */
const limits: ReadonlyArray<readonly [name: string, resources: Resources, missing: (runtime: string) => boolean]> = [
  ["hugepageLimits 3MB", { hugepageLimits: [{ pageSize: "3MB", limit: 2 ** 20 }] }, () => true],
  ["blockIO.weight", { blockIO: { weight: 500 } }, lacksWeight]
]

for (const runtime of ["runc", "crun"].filter((name) => canRunContainers && installed(name) !== null)) {
  const layer = Layer.unwrap(
    Effect.map(folders, (place) =>
      Layer.merge(Berth.layerEmbedded({ ...place, runtime }), Layer.succeed(Place)({ state: place.state }))
    )
  ).pipe(Layer.provide(NodeServices.layer), Layer.orDie)
  suiteLayer(layer, { excludeTestServices: true, timeout: "60 seconds" })(
    `a limit that is missing, on ${runtime}`,
    (it) => {
      for (const [name, resources, missing] of limits) {
        if (!missing(runtime)) {
          leftOut(`${name} as a limit that is missing, on ${runtime}`, "this machine is not known to lack it")
          continue
        }
        it.effect(name, () =>
          Effect.gen(function* () {
            const [containers, tasks, { state }] = [yield* Containers, yield* Tasks, yield* Place]
            const id = yield* freshId
            const spec = Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args: ["/bin/true"] }))
            const limited: OciSpec = {
              ...spec,
              linux: { ...spec.linux, resources: { ...spec.linux?.resources, ...resources } }
            }
            yield* Effect.acquireRelease(containers.create({ id, spec: limited }), () =>
              Effect.ignore(Effect.andThen(Effect.ignore(tasks.delete({ id, force: true })), containers.delete(id)))
            )
            const error = yield* Effect.flip(tasks.create({ id }))
            assert.deepInclude(error, { _tag: "Unsupported", driver: runtime, capability: `${name} on this host` })

            assert.deepInclude(yield* Effect.flip(tasks.get(id)), { _tag: "NotFound", kind: "task" })
            assert.deepStrictEqual(
              readdirSync(state, { recursive: true, encoding: "utf8" }).filter((path) => path.includes(id)),
              []
            )
            assert.deepStrictEqual(globSync(`${groups}/{,*/}*${id}*`), [])
            assert.isFalse(readFileSync("/proc/self/mounts", "utf8").includes(id))
          })
        )
      }
    }
  )
}

/** The suite of drivers on the real runtimes of this host. */
import { describe } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Reaper from "../../src/layers/Reaper.ts"
import { Children } from "../../src/layers/posix/Children.ts"
import { Libc } from "../../src/layers/posix/Libc.ts"
import * as Runtimes from "../../src/layers/runtime/Runtimes.ts"
import { ContainerId, Namespace } from "../../src/schema/Ids.ts"
import type { OciSpec } from "../../src/schema/OciSpec.ts"
import * as OciJson from "../../src/schema/OciJson.ts"
import { bundleSpec, busyboxRootfs, canRunContainers, installed } from "../support/rootfs.ts"
import { Bundles, driverSuite } from "../suites/driver.ts"

const bundles = (runtime: string, home: string) =>
  Layer.effect(
    Bundles,
    Effect.gen(function* () {
      const rootfs = runtime === "host" ? "/" : yield* busyboxRootfs
      const spec = (args: ReadonlyArray<string>, id: string) =>
        runtime === "host" ? plainSpec(args) : bundleSpec(rootfs, args, id)
      let count = 0
      return Bundles.of({
        make: (args) =>
          Effect.acquireRelease(
            Effect.sync(() => {
              const id = `${runtime}-${process.pid}-${++count}`
              const bundle = join(home, id)
              mkdirSync(bundle)
              writeFileSync(join(bundle, "config.json"), OciJson.stringify(spec(args, id)))
              return { namespace: Namespace.make("test"), containerId: ContainerId.make(id), bundle }
            }),
            ({ bundle }) => Effect.sync(() => rmSync(bundle, { recursive: true }))
          )
      })
    })
  )

/** What a plain process of the host can be: the root filesystem is the machine's own. */
const plainSpec = (args: ReadonlyArray<string>): OciSpec => ({
  ociVersion: "1.0.2",
  process: { cwd: "/", args, env: ["PATH=/bin:/usr/bin"], user: { uid: 0, gid: 0 } },
  root: { path: "/" }
})

const layerOf = (runtime: string) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const home = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "berth-driver-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
      )
      return Layer.mergeAll(
        bundles(runtime, home),
        Layer.mergeAll(Reaper.layer, Runtimes.layer({ stateDir: join(home, "state"), hostDriver: () => true })).pipe(
          Layer.provide(Children.layer.pipe(Layer.provideMerge(Libc.layer)))
        )
      )
    })
  ).pipe(Layer.orDie)

driverSuite("host", { runtime: "host", capabilities: ["exec", "pause", "terminal"], pidsOfTwo: 2 }, layerOf("host"))

for (const runtime of ["runc", "crun"]) {
  describe.skipIf(!canRunContainers || installed(runtime) === null)(runtime, () => {
    driverSuite(
      runtime,
      { runtime, capabilities: ["isolation", "exec", "pause", "terminal", "update", "stats"], pidsOfTwo: 2 },
      layerOf(runtime)
    )
  })
}

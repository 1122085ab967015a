/** `System` on this machine. */
import { DateTime, Effect, Layer, Option } from "effect"
import { existsSync } from "node:fs"
import { release } from "node:os"
import type { ServerInfo } from "../schema/Requests.ts"
import { Config } from "../services/Config.ts"
import { OciRuntime } from "../services/OciRuntime.ts"
import { ProcessHost } from "../services/ProcessHost.ts"
import { System } from "../services/System.ts"
import { Orphans } from "./orphans/Orphans.ts"

const cgroup = (): ServerInfo["cgroup"] =>
  existsSync("/sys/fs/cgroup/cgroup.controllers") ? "v2" : existsSync("/sys/fs/cgroup/unified") ? "hybrid" : "v1"

export const layer = Layer.effect(
  System,
  Effect.gen(function* () {
    const config = yield* Config
    const runtime = yield* OciRuntime
    const host = yield* ProcessHost
    const startedAt = yield* DateTime.now
    const info = Effect.gen(function* () {
      const usual = yield* Effect.option(runtime.driver(config.runtime))
      return {
        version: config.version,
        pid: process.pid,
        startedAt,
        node: process.version,
        kernel: release(),
        cgroup: cgroup(),
        defaultRuntime: usual._tag === "Some" ? usual.value.info.name : null,
        root: config.root,
        state: config.state,
        shim: host.about === undefined ? null : Option.getOrNull(yield* Effect.option(host.about))
      }
    })
    const orphans = yield* Orphans
    return System.of({
      info,
      runtimes: runtime.list,
      orphans: ({ repair }) => (repair ? orphans.clean("repair") : orphans.look)
    })
  })
)

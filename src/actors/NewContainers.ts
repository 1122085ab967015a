/** What a request for a container becomes: the record to store and the event that tells of it. Stores nothing: whoever asks commits it, alone or with a task. */
import { DateTime, Effect } from "effect"
import type { Container, NewContainer } from "../schema/Container.ts"
import type { NewEvent } from "../schema/Events.ts"
import type { ContainerId, Namespace } from "../schema/Ids.ts"
import type { OciSpec } from "../schema/OciSpec.ts"
import { Config } from "../services/Config.ts"
import { CurrentNamespace } from "../services/CurrentNamespace.ts"
import { OciRuntime } from "../services/OciRuntime.ts"

export const make = Effect.gen(function* () {
  const config = yield* Config
  const runtime = yield* OciRuntime

  /** A flat name of its own in every hierarchy. Ids contain no `--`, so no two containers can share one. */
  const withCgroup = (spec: OciSpec, namespace: Namespace, id: ContainerId): OciSpec =>
    spec.linux?.cgroupsPath === undefined
      ? { ...spec, linux: { ...spec.linux, cgroupsPath: `/${config.cgroupPrefix}--${namespace}--${id}` } }
      : spec

  const compose = Effect.fnUntraced(function* (request: NewContainer) {
    const namespace = yield* CurrentNamespace
    const driver = yield* runtime.driver(request.runtime?.name ?? config.runtime)
    const now = yield* DateTime.now
    const container: Container = {
      namespace,
      id: request.id,
      labels: request.labels ?? {},
      runtime: { name: driver.info.name, options: request.runtime?.options ?? {} },
      spec: withCgroup(request.spec, namespace, request.id),
      snapshotKey: request.snapshotKey ?? null,
      snapshotter: request.snapshotter ?? null,
      createdAt: now,
      updatedAt: now,
      extensions: request.extensions ?? {}
    }
    const { id, labels, runtime: used } = container
    const event: NewEvent = {
      namespace,
      payload: { topic: "/containers/create", event: { id, runtime: used, labels } }
    }
    return { container, event }
  })

  return { compose, withCgroup }
})

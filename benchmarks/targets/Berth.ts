/** Lifecycles over berth's services, wherever these come from. */
import { Berth, Containers, ContainerId, defaultStdio, OciSpec, RuntimeName, Tasks } from "berth"
import type { Stdio } from "berth"
import type { Layer } from "effect"
import { Effect, ManagedRuntime, Schema } from "effect"
import type { Settings } from "../Protocol.ts"
import { stepNames } from "../Protocol.ts"
import type { Target } from "./Target.ts"

const noOutput: Stdio = { stdin: false, log: { _tag: "none" } }
const sigkill = 9

const overServices = async <E>(
  { runtime: driver, spec: text }: Settings,
  stdio: Stdio,
  layer: Layer.Layer<Containers | Tasks, E>
): Promise<Target> => {
  const runtime = ManagedRuntime.make(layer)
  const { containers, tasks } = await runtime.runPromise(Effect.all({ containers: Containers, tasks: Tasks }))
  const spec = Schema.decodeSync(Schema.fromJsonString(OciSpec))(text)
  const run = (effect: Effect.Effect<unknown, unknown>) => runtime.runPromise(Effect.asVoid(effect))
  const id = ContainerId.make
  return {
    counted: stepNames,
    record: (name, args) => {
      const ofOne = { ...spec, process: { cwd: "/", ...spec.process, args } }
      return run(containers.create({ id: id(name), runtime: { name: RuntimeName.make(driver) }, spec: ofOne }))
    },
    create: (name) => run(tasks.create({ id: id(name), stdio })),
    start: (name) => run(tasks.start(id(name))),
    wait: (name) => runtime.runPromise(Effect.map(tasks.wait({ id: id(name) }), ({ exitStatus }) => exitStatus)),
    kill: (name) => run(tasks.signal({ id: id(name), signal: sigkill })),
    delete: (name) => run(tasks.delete({ id: id(name) })),
    unrecord: (name) => run(containers.delete(id(name))),
    close: () => runtime.dispose()
  }
}

/** The whole of berth in the measuring process. */
export const openEmbedded = (settings: Settings) =>
  overServices(
    settings,
    noOutput,
    Berth.layerEmbedded({ root: settings.durable, state: settings.volatile, runtime: settings.runtime })
  )

/** A daemon elsewhere. */
export const openDaemon = (settings: Settings) =>
  overServices(
    settings,
    settings.target === "daemon-log" ? defaultStdio : noOutput,
    Berth.layerClient({ address: `unix://${settings.socket}` })
  )

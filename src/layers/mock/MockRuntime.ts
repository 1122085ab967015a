/**
 * The driver `mock`. It answers as strictly as runc: what makes no sense in the state of a container fails. Like a real driver it undoes a `create` or an
 * `exec` that it could not bring to an end.
 */
import { Effect, Exit, Layer } from "effect"
import type { Duration } from "effect"
import { RuntimeFailed, Unavailable, Unsupported } from "../../schema/Errors.ts"
import type { ProcessRef } from "../../schema/Ids.ts"
import { containerKey, RuntimeName } from "../../schema/Ids.ts"
import type { OciProcess, OciSpec } from "../../schema/OciSpec.ts"
import type { Capability } from "../../schema/Runtime.ts"
import type { Descriptors, Driver, DriverError, Target } from "../../services/OciRuntime.ts"
import { OciRuntime } from "../../services/OciRuntime.ts"
import type { Resources } from "../../schema/Resources.ts"
import * as Limits from "../../spec/Limits.ts"
import type { Failures } from "./MockFaults.ts"
import type { Birth, Container } from "./MockMachine.ts"
import type { Proc } from "./MockProcess.ts"
import { doom } from "./MockProcess.ts"
import { MockWorld } from "./MockWorld.ts"

export interface RuntimeOptions {
  readonly capabilities?: ReadonlyArray<Capability>
  /** The longest that a call may take; `null` is without end. */
  readonly deadline?: Duration.Input | null
}

type Command = Exclude<keyof Failures, "open" | "claim" | "signal">

const name = RuntimeName.make("mock")

/** A RuntimeFailed of the mock driver, for tests that have it fail. */
export const failed = (command: Command, detail: string, reason: RuntimeFailed["reason"] = "failed"): RuntimeFailed =>
  new RuntimeFailed({ runtime: name, command, exitCode: reason === "deadline" ? -1 : 1, reason, detail, log: [detail] })

const defaults: ReadonlyArray<Capability> = ["isolation", "exec", "pause", "update"]
const blank = { name, binary: null, version: null, available: true, problem: null, mend: null, default: true }

const initOf = ({ containerId, namespace }: Target): ProcessRef => ({ namespace, containerId, execId: null })

/** Where a specification names no namespaces at all it means a container like any other. */
const isolates = (spec: OciSpec): boolean =>
  spec.linux?.namespaces?.some(({ path, type }) => type === "pid" && path === undefined) ?? true

const limitsOf = ({ linux }: OciSpec): Resources => Limits.unflatten(Limits.flatten(linux?.resources ?? {}))

const makeDriver = Effect.fnUntraced(function* ({ capabilities = defaults, deadline = "30 seconds" }: RuntimeOptions) {
  const { bundles, guard, machine, pipes, programOf } = (yield* MockWorld).inner

  const requires = (capability: Capability) =>
    capabilities.includes(capability) ? Effect.void : Effect.fail(new Unsupported({ driver: name, capability }))

  /** A call of the runtime, as the rules of the world will have it. It is one step, which is taken or not. */
  const call = <A>(
    command: Command,
    ref: ProcessRef,
    args: ReadonlyArray<string>,
    work: Effect.Effect<A, DriverError>
  ) => {
    const guarded = guard(command, ref, args, Effect.uninterruptible(work))
    const orElse = () => Effect.fail(failed(command, "no answer in time", "deadline"))
    return deadline === null ? guarded : Effect.timeoutOrElse(guarded, { duration: deadline, orElse })
  }

  /** A call that concerns a container which must be there. */
  const onContainer = <A>(
    command: Command,
    target: Target,
    work: (container: Container) => Effect.Effect<A, DriverError>
  ) => {
    const find = () => machine.containers.get(containerKey(target))
    const container = Effect.suspend(() => {
      const found = find()
      return found === undefined ? Effect.fail(failed(command, "container does not exist")) : Effect.succeed(found)
    })
    return Effect.suspend(() => call(command, initOf(target), find()?.args ?? [], Effect.flatMap(container, work)))
  }

  const refuse = (command: Command, detail: string) => Effect.fail(failed(command, detail))

  const birth = Effect.fnUntraced(function* (
    command: Command,
    ref: ProcessRef,
    process: OciProcess,
    descriptors: Descriptors
  ): Effect.fn.Return<Birth, DriverError> {
    if (process.terminal === true) yield* requires("terminal")
    const program = yield* Effect.mapError(Effect.fromResult(programOf(ref, process)), ({ detail, reason }) =>
      failed(command, detail, reason)
    )
    const stdio = pipes.hold(descriptors)
    if (stdio === null) return yield* failed(command, "bad file descriptor")
    return { args: process.args ?? [], program, stdio }
  })

  const create: Driver["create"] = Effect.fn("MockRuntime.create")(function* (target, descriptors) {
    const spec = bundles.get(target.bundle)
    const isolated = capabilities.includes("isolation") && (spec === undefined || isolates(spec))
    let made: Container | undefined
    const work = Effect.gen(function* () {
      if (spec?.process === undefined) return yield* failed("create", `no process in ${target.bundle}/config.json`)
      if (machine.containers.has(containerKey(target))) return yield* failed("create", "container already exists")
      const init = yield* machine.create(
        target,
        isolated,
        limitsOf(spec),
        yield* birth("create", initOf(target), spec.process, descriptors)
      )
      made = machine.containers.get(containerKey(target))
      return init.identity.pid
    })
    return yield* Effect.onExit(call("create", initOf(target), spec?.process?.args ?? [], work), (exit) =>
      Exit.isSuccess(exit) || made === undefined ? Effect.void : machine.destroy(made)
    )
  })

  const start: Driver["start"] = Effect.fn("MockRuntime.start")((target) =>
    onContainer("start", target, (container) => {
      if (container.status !== "created") return refuse("start", `cannot start a container that is ${container.status}`)
      return machine.start(container)
    })
  )

  const exec: Driver["exec"] = Effect.fn("MockRuntime.exec")(function* (target, execId, process, descriptors) {
    yield* requires("exec")
    const ref = { ...initOf(target), execId }
    let made: Proc | undefined
    const work = Effect.gen(function* () {
      const container = machine.containers.get(containerKey(target))
      if (container === undefined) return yield* failed("exec", "container does not exist")
      const state = container.paused ? "paused" : container.status
      if (state === "paused" || state === "stopped") return yield* failed("exec", `cannot exec in a ${state} container`)
      made = yield* machine.spawn(container, "exec", ref, yield* birth("exec", ref, process, descriptors))
      return made.identity.pid
    })
    return yield* Effect.onExit(call("exec", ref, process.args ?? [], work), (exit) =>
      Effect.sync(() => {
        if (Exit.isFailure(exit) && made !== undefined) doom(made, 137)
      })
    )
  })

  const freeze = (command: "pause" | "resume", target: Target) =>
    Effect.andThen(
      requires("pause"),
      onContainer(command, target, (container) => {
        const paused = command === "pause"
        if (container.status === "stopped") return refuse(command, "container not running")
        if (container.paused === paused) return refuse(command, paused ? "container is paused" : "container not paused")
        return machine.setPaused(container, paused)
      })
    )

  const update: Driver["update"] = Effect.fn("MockRuntime.update")(function* (target, changes) {
    yield* requires("update")
    let before: Resources | undefined
    const work = onContainer("update", target, (container) => {
      if (container.status === "stopped") return refuse("update", "container not running")
      before = container.limits
      const after = Limits.unflatten(new Map([...Limits.flatten(before), ...Limits.flatten(changes)]))
      container.limits = after
      return Effect.succeed({ before, after })
    })
    return yield* Effect.onExit(work, (exit) =>
      Effect.sync(() => {
        const container = machine.containers.get(containerKey(target))
        if (Exit.isFailure(exit) && container !== undefined) container.limits = before ?? container.limits
      })
    )
  })

  const remove: Driver["delete"] = Effect.fn("MockRuntime.delete")((target, { force }) => {
    const container = machine.containers.get(containerKey(target))
    const work = Effect.suspend(() => {
      const found = machine.containers.get(containerKey(target))
      if (found === undefined) return Effect.void
      if (found.status !== "running" || force) return machine.destroy(found)
      return refuse("delete", "cannot delete a container that is not stopped")
    })
    return call("delete", initOf(target), container?.args ?? [], work)
  })

  const driver: Driver = {
    info: { ...blank, capabilities },
    create,
    start,
    exec,
    pause: Effect.fn("MockRuntime.pause")((target) => freeze("pause", target)),
    resume: Effect.fn("MockRuntime.resume")((target) => freeze("resume", target)),
    update,
    delete: remove,
    hasStarted: Effect.fn("MockRuntime.hasStarted")((target) =>
      onContainer("pids", target, ({ started }) => Effect.succeed(started))
    ),
    isPaused: Effect.fn("MockRuntime.isPaused")((target) =>
      onContainer("pids", target, ({ paused }) => Effect.succeed(paused))
    ),
    leftAtWork: Effect.fn("MockRuntime.leftAtWork")((target, execId) =>
      Effect.sync(() =>
        Array.from(machine.containers.get(containerKey(target))?.procs ?? []).flatMap(({ identity, kind, ref }) =>
          kind === "exec" && ref.execId === execId ? [identity] : []
        )
      )
    ),
    /** What it does ends with its caller. */
    atWork: () => Effect.succeed([]),
    pids: Effect.fn("MockRuntime.pids")((target) =>
      onContainer("pids", target, ({ procs }) => Effect.sync(() => Array.from(procs, ({ identity }) => identity.pid)))
    )
  }
  return driver
})

/** The registry with `mock` in it and nothing else; `auto` is `mock`. */
export const layer = (options: RuntimeOptions = {}): Layer.Layer<OciRuntime, never, MockWorld> =>
  Layer.effect(
    OciRuntime,
    Effect.map(makeDriver(options), (driver) =>
      OciRuntime.of({
        driver: (wanted) =>
          wanted === name || wanted === "auto"
            ? Effect.succeed(driver)
            : Effect.fail(new Unavailable({ what: `runtime "${wanted}"`, problem: "there is only mock", mend: null })),
        list: Effect.succeed([driver.info])
      })
    )
  )

/**
 * Stand-ins for what cannot be had of a container that is taken over: a driver that is looked for again at each call, since its binary may come back, and streams
 * that hold nothing. With them the container keeps its place, and its exit is still told.
 */
import { Effect } from "effect"
import type { RuntimeName } from "../schema/Ids.ts"
import type { Driver, OciRuntime } from "../services/OciRuntime.ts"
import type { OpenIo } from "../services/ProcessIo.ts"

/** The driver of that name, whenever it is needed; `problem` is why there is none now. */
export const driverOf = (runtime: OciRuntime["Service"], name: RuntimeName, problem: string): Driver => {
  const found = runtime.driver(name)
  return {
    info: {
      name,
      binary: null,
      version: null,
      available: false,
      problem,
      mend: null,
      default: false,
      capabilities: []
    },
    create: (...args) => Effect.flatMap(found, (driver) => driver.create(...args)),
    start: (target) => Effect.flatMap(found, (driver) => driver.start(target)),
    exec: (...args) => Effect.flatMap(found, (driver) => driver.exec(...args)),
    pause: (target) => Effect.flatMap(found, (driver) => driver.pause(target)),
    resume: (target) => Effect.flatMap(found, (driver) => driver.resume(target)),
    update: (target, resources) => Effect.flatMap(found, (driver) => driver.update(target, resources)),
    delete: (target, options) => Effect.flatMap(found, (driver) => driver.delete(target, options)),
    hasStarted: (target) => Effect.flatMap(found, (driver) => driver.hasStarted(target)),
    isPaused: (target) => Effect.flatMap(found, (driver) => driver.isPaused(target)),
    leftAtWork: (target, execId) => Effect.flatMap(found, (driver) => driver.leftAtWork(target, execId)),
    atWork: (targets) => Effect.flatMap(found, (driver) => driver.atWork(targets)),
    pids: (target) => Effect.flatMap(found, (driver) => driver.pids(target))
  }
}

/** Nothing is read of what the process writes, and nothing reaches it. */
export const io: OpenIo = {
  descriptors: { stdin: null, stdout: null, stderr: null },
  console: null,
  handOver: Effect.void,
  drained: Effect.succeed("truncated"),
  write: () => Effect.succeed(false),
  closeStdin: Effect.void,
  resize: () => Effect.succeed(false)
}

/** Streams that are still to be opened: whoever needs them waits. */
export const until = (opened: Effect.Effect<OpenIo>): OpenIo => ({
  ...io,
  drained: Effect.flatMap(opened, ({ drained }) => drained),
  write: (bytes) => Effect.flatMap(opened, ({ write }) => write(bytes)),
  closeStdin: Effect.flatMap(opened, ({ closeStdin }) => closeStdin)
})

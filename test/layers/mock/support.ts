/** What the tests of the mock share: a container on it, from specification to started init. */
import { Effect } from "effect"
import { ContainerId, ExecId, Namespace, RuntimeName } from "../../../src/schema/Ids.ts"
import type { ProcessRef } from "../../../src/schema/Ids.ts"
import type { OciProcess, OciSpec } from "../../../src/schema/OciSpec.ts"
import { defaultStdio } from "../../../src/schema/Process.ts"
import type { Stdio } from "../../../src/schema/Process.ts"
import { MemoryOutput } from "../../../src/services/MemoryOutput.ts"
import type { Descriptors, Target } from "../../../src/services/OciRuntime.ts"
import { OciRuntime } from "../../../src/services/OciRuntime.ts"
import { ProcessIo } from "../../../src/services/ProcessIo.ts"
import { ProcessReaper } from "../../../src/services/ProcessReaper.ts"
import { MockWorld } from "../../../src/layers/mock/MockWorld.ts"
import { Stream } from "effect"

export const [SIGHUP, SIGKILL, SIGTERM, SIGCONT, SIGSTOP, SIGWINCH] = [1, 9, 15, 18, 19, 28]
export const sh = (text: string) => ["sh", "-c", text]
export const none: Descriptors = { stdin: null, stdout: null, stderr: null }
const namespace = Namespace.make("default")

export const processOf = (args: ReadonlyArray<string>): OciProcess => ({ args, cwd: "/", env: ["WHO=world"] })
export const specOf = (args: ReadonlyArray<string>): OciSpec => ({ ociVersion: "1.0.2", process: processOf(args) })

export const target = (id: string): Target => ({
  namespace,
  containerId: ContainerId.make(id),
  bundle: `/memory/tasks/default/${id}`
})
export const refOf = (id: string, execId: string | null = null): ProcessRef => ({
  namespace,
  containerId: ContainerId.make(id),
  execId: execId === null ? null : ExecId.make(execId)
})

export const driver = Effect.flatMap(OciRuntime, (runtime) => runtime.driver(RuntimeName.make("auto")))

/** Puts the bundle where the driver finds it. */
export const bundle = Effect.fnUntraced(function* (id: string, args: ReadonlyArray<string>, spec = specOf(args)) {
  yield* (yield* MockWorld).install(target(id).bundle, spec)
  return target(id)
})

/** A created container and its claimed init, with standard streams as asked. */
export const created = Effect.fnUntraced(function* (
  id: string,
  args: ReadonlyArray<string>,
  stdio: Stdio = defaultStdio
) {
  const at = yield* bundle(id, args)
  const io = yield* (yield* ProcessIo).open({ ref: refOf(id), stdio, directory: at.bundle, logFile: null })
  const pid = yield* Effect.ensuring((yield* driver).create(at, io.descriptors), io.handOver)
  const child = yield* (yield* ProcessReaper).claim(pid)
  return { ...child, io, at }
})

/** The same, started. */
export const running = Effect.fnUntraced(function* (
  id: string,
  args: ReadonlyArray<string>,
  stdio: Stdio = defaultStdio
) {
  const init = yield* created(id, args, stdio)
  yield* (yield* driver).start(init.at)
  return init
})

/** A claimed process beside init. */
export const exec = Effect.fnUntraced(function* (
  id: string,
  execId: string,
  args: ReadonlyArray<string>,
  descriptors = none
) {
  const pid = yield* (yield* driver).exec(target(id), ExecId.make(execId), processOf(args), descriptors)
  return yield* (yield* ProcessReaper).claim(pid)
})

export const signal = Effect.fnUntraced(function* (
  identity: Parameters<ProcessReaper["Service"]["signal"]>[0],
  number: number
) {
  return yield* (yield* ProcessReaper).signal(identity, number)
})

/** What a process has printed so far: time in milliseconds, stream, text. */
export const printed = Effect.fnUntraced(function* (id: string, execId: string | null = null) {
  const { outputLog } = yield* MemoryOutput
  const chunks = yield* Stream.runCollect(outputLog.read(refOf(id, execId), { ended: null }))
  return chunks.map(({ at, bytes, stream }) => [at.epochMilliseconds, stream, new TextDecoder().decode(bytes)] as const)
})

/** The text alone. */
export const text = (id: string, execId: string | null = null) =>
  Effect.map(printed(id, execId), (lines) => lines.map(([, , line]) => line).join(""))

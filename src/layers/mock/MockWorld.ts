/**
 * A pretended machine for tests and simulation: the ports of this folder act on it, and a test steers it. It knows no time but the Effect clock's and starts
 * nothing that the scheduler does not run, so a program under TestClock and a seeded scheduler goes the same way every time. It outlives the hosts that use it.
 */
import { Context, Effect, Layer, Result } from "effect"
import type { ContainerId, Namespace, ProcessRef } from "../../schema/Ids.ts"
import { containerKey, processKey } from "../../schema/Ids.ts"
import type { OciProcess, OciSpec } from "../../schema/OciSpec.ts"
import type { TerminalSize } from "../../schema/Process.ts"
import type { Identity } from "../../schema/TaskState.ts"
import type { Failures, Faults, Operation } from "./MockFaults.ts"
import { makeFaults } from "./MockFaults.ts"
import type { Machine, MachineOptions } from "./MockMachine.ts"
import { makeMachine } from "./MockMachine.ts"
import type { Pipes } from "./MockPipes.ts"
import { makePipes } from "./MockPipes.ts"
import { deliver } from "./MockProcess.ts"
import type { Refusal } from "./MockPrograms.ts"
import { interpret } from "./MockPrograms.ts"
import type { Match, Program, Script } from "./MockScript.ts"
import { matches, program } from "./MockScript.ts"

/** What a test sees of a process that lives. */
export interface Sight {
  readonly identity: Identity
  readonly execId: ProcessRef["execId"]
  readonly kind: "init" | "exec" | "child"
  readonly args: ReadonlyArray<string>
}

export class MockWorld extends Context.Service<
  MockWorld,
  {
    /** Processes that match and start from now on follow the script, not their command line. The newest that fits counts. */
    readonly script: (match: Match, script: Script) => Effect.Effect<void>
    /** How calls of an operation behave from now on. The newest rule that fits and is not used up counts; an empty one takes the older ones back. */
    readonly onOperation: Faults["onOperation"]
    /** The next call of that operation fails and does nothing. */
    readonly failNext: <Op extends Operation>(operation: Op, error: Failures[Op], match?: Match) => Effect.Effect<void>
    /** Calls of that operation do not answer until `release`; with `after` they take effect all the same. */
    readonly hang: (operation: Operation, match?: Match, at?: "before" | "after") => Effect.Effect<void>
    /** Lets go of what hangs; the other rules stay. */
    readonly release: (operation: Operation) => Effect.Effect<void>
    /** The kernel kills the init of a container for lack of memory. False where none runs. */
    readonly oom: (ref: { readonly namespace: Namespace; readonly containerId: ContainerId }) => Effect.Effect<boolean>
    /** Whether that process was killed for lack of memory. */
    readonly oomKilled: (identity: Identity) => Effect.Effect<boolean>
    /** The live processes of a container, oldest first. */
    readonly processes: (ref: {
      readonly namespace: Namespace
      readonly containerId: ContainerId
    }) => Effect.Effect<ReadonlyArray<Sight>>
    /** Containers that the driver knows, as `namespace/id`. */
    readonly containers: Effect.Effect<ReadonlyArray<string>>
    /** Descriptors that are open on the side of the host. */
    readonly descriptors: Effect.Effect<ReadonlyArray<number>>
    /** The size of the terminal of a process; `null` where it has none, or none that was ever sized. */
    readonly terminalSize: (ref: ProcessRef) => Effect.Effect<TerminalSize | null>
    /** The pretended file, as text; empty where there is none. */
    readonly readFile: (path: string) => Effect.Effect<string>
    /** All that happened, in order: one line each, which begins with the milliseconds of the clock. */
    readonly trace: Effect.Effect<ReadonlyArray<string>>
    /** Puts a specification where the driver looks for it. */
    readonly install: (bundle: string, spec: OciSpec) => Effect.Effect<void>
    /** For the ports of this folder. */
    readonly inner: Inner
  }
>()("berth/layers/mock/MockWorld") {
  static readonly layer = (options: MachineOptions = {}): Layer.Layer<MockWorld> =>
    Layer.effect(MockWorld, make(options))
}

interface Inner {
  readonly machine: Machine
  readonly pipes: Pipes
  readonly guard: Faults["guard"]
  readonly bundles: ReadonlyMap<string, OciSpec>
  readonly files: Map<string, Array<Uint8Array>>
  /** Sizes of terminals, by process. */
  readonly sizes: Map<string, TerminalSize>
  readonly programOf: (ref: ProcessRef, process: OciProcess) => Result.Result<Program, Refusal>
}

const make = Effect.fnUntraced(function* (options: MachineOptions) {
  const pipes = makePipes()
  const machine = yield* makeMachine(options, pipes)
  const { guard, onOperation, release } = makeFaults()
  const scripts: Array<{ readonly match: Match; readonly program: Program }> = []
  const bundles = new Map<string, OciSpec>()
  const files = new Map<string, Array<Uint8Array>>()
  const sizes = new Map<string, TerminalSize>()

  const programOf: Inner["programOf"] = (ref, process) => {
    const scripted = scripts.findLast(({ match }) => matches(match, ref, process.args ?? []))
    return scripted === undefined ? interpret(process, ref.execId === null) : Result.succeed(scripted.program)
  }

  return MockWorld.of({
    script: (match, script) => Effect.sync(() => void scripts.push({ match, program: program(script) })),
    onOperation,
    failNext: (operation, fail, match = {}) => onOperation(operation, match, { fail, times: 1 }),
    hang: (operation, match = {}, at = "before") => onOperation(operation, match, { hang: true, at }),
    release,
    oom: (ref) =>
      Effect.sync(() => {
        const procs = [...(machine.containers.get(containerKey(ref))?.procs ?? [])]
        const init = procs.find(({ kind }) => kind === "init")
        if (init !== undefined) init.oomKilled = true
        return init !== undefined && deliver(init, 9, "without")
      }),
    oomKilled: (identity) => Effect.sync(() => machine.ranOut(identity)),
    processes: (ref) =>
      Effect.sync(() =>
        Array.from(machine.containers.get(containerKey(ref))?.procs ?? [], ({ args, identity, kind, ref }) => ({
          args,
          identity,
          kind,
          execId: ref.execId
        }))
      ),
    containers: Effect.sync(() => [...machine.containers.keys()]),
    descriptors: pipes.descriptors,
    terminalSize: (ref) => Effect.sync(() => sizes.get(processKey(ref)) ?? null),
    readFile: (path) =>
      Effect.sync(() => (files.get(path) ?? []).map((bytes) => new TextDecoder().decode(bytes)).join("")),
    trace: Effect.sync(() => [...machine.lines]),
    install: (bundle, spec) => Effect.sync(() => void bundles.set(bundle, spec)),
    inner: { machine, pipes, guard, bundles, files, sizes, programOf }
  })
})

/**
 * A driver over any OCI command line. It runs the binary, reads back what the binary wrote (pid file, log) and answers;
 * the runtime's state has a folder per namespace, so an id is unique within its namespace only. It never parses output
 * where a file or an exit code tells.
 */
import { Cause, Duration, Effect, Exit, Option, Schedule, Schema } from "effect"
import { closeSync, existsSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { RuntimeFailed, Unsupported } from "../../schema/Errors.ts"
import type { ExecId } from "../../schema/Ids.ts"
import * as OciJson from "../../schema/OciJson.ts"
import type { Capability, DriverInfo } from "../../schema/Runtime.ts"
import type { Descriptors, Driver, Target } from "../../services/OciRuntime.ts"
import { Children } from "../posix/Children.ts"
import { codeOf } from "../posix/Libc.ts"
import * as Proc from "../posix/Proc.ts"
import * as Leftovers from "./Leftovers.ts"
import * as LiveUpdate from "./LiveUpdate.ts"
import { missingLimit } from "./MissingLimit.ts"
import * as Bundle from "./Bundle.ts"
import * as RuntimeLog from "./RuntimeLog.ts"
import * as Spawn from "./Spawn.ts"

/** The longest that each call may take. */
export interface Deadlines {
  readonly create: Duration.Input
  readonly start: Duration.Input
  readonly exec: Duration.Input
  readonly pause: Duration.Input
  readonly resume: Duration.Input
  readonly update: Duration.Input
  readonly delete: Duration.Input
  readonly state: Duration.Input
  readonly pids: Duration.Input
}

export const defaultDeadlines: Deadlines = {
  create: "60 seconds",
  start: "30 seconds",
  exec: "30 seconds",
  pause: "10 seconds",
  resume: "10 seconds",
  update: "10 seconds",
  delete: "30 seconds",
  state: "10 seconds",
  pids: "10 seconds"
}

export interface Options {
  readonly info: DriverInfo
  readonly binary: string
  /** Arguments that go before every command, e.g. `--systemd-cgroup`. */
  readonly args?: ReadonlyArray<string>
  /** Folder for the runtime's state. */
  readonly root: string
  /** The whole environment of the runtime. */
  readonly env: Readonly<Record<string, string>>
  readonly deadlines?: Partial<Deadlines>
  /**
   * How long an interrupted `create` or `exec` may go on to its natural end, after which nothing is in an unknown
   * state.
   */
  readonly grace?: Duration.Input
  /** A folder that stands for `/`, with `proc` and `sys` in it, where limits are read and written. */
  readonly systemRoot?: string
}

interface Call {
  readonly command: keyof Deadlines
  readonly target: Target
  readonly args: ReadonlyArray<string>
  /** The process's own descriptors; without them standard error goes to the log too. */
  readonly stdio?: Descriptors
  readonly log?: string
  readonly grace?: Duration.Input
  readonly capture?: boolean
}

const Pids = Schema.fromJsonString(Schema.NullOr(Schema.Array(Schema.Int)))
const decodeState = Schema.decodeOption(Schema.fromJsonString(Schema.Struct({ status: Schema.String })))
const decodePids = Schema.decodeOption(Pids)

/** Exit code of a process that crashed on a bad memory access. */
const segmentationFault = 139
/** Above it, the exit code of a process that a signal ended. */
const signalled = 128

/** How long a pid file is tried to be read that is there: some ten seconds. */
const pidLooks = Schedule.upTo(Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("1 second")]), {
  times: 12
})

const openLog = (path: string): number | null => {
  try {
    return openSync(path, "a")
  } catch {
    return null
  }
}

const remove = (...paths: ReadonlyArray<string>) =>
  Effect.sync(() => {
    for (const path of paths) rmSync(path, { force: true })
  })

const readPid = (path: string): Option.Option<number> => {
  try {
    return Option.filter(Option.some(Number.parseInt(readFileSync(path, "utf8"), 10)), (pid) => pid > 0)
  } catch {
    return Option.none()
  }
}

const consoleSocket = (path: string | null): ReadonlyArray<string> => (path === null ? [] : ["--console-socket", path])

const sizeOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.size ?? 0
const readFrom = (path: string, offset: number): string =>
  existsSync(path) ? readFileSync(path).subarray(offset).toString("utf8") : ""

/** Whether a call was cut off, by our hand or another's, so that what it did is unknown. */
const wasKilled = <A>(exit: Exit.Exit<A, unknown>): boolean =>
  Exit.isFailure(exit) &&
  (Cause.hasInterrupts(exit.cause) ||
    Option.exists(
      Cause.findErrorOption(exit.cause),
      (error) => error instanceof RuntimeFailed && (error.reason === "deadline" || error.exitCode > signalled)
    ))

const identitiesOf = (found: ReadonlyArray<Proc.Stat>) =>
  Effect.map(Proc.bootId, (bootId) => found.map(({ pid, startTime }) => ({ pid, startTime, bootId })))

/** Makes the driver; it holds no resource. */
export const make = Effect.fnUntraced(function* (options: Options) {
  const children = yield* Children
  const { binary, grace = "2 seconds", info } = options
  const deadlines = { ...defaultDeadlines, ...options.deadlines }
  const rootOf = (target: Target) => join(options.root, target.namespace)
  const isKnown = (target: Target) => existsSync(join(rootOf(target), target.containerId))

  const failed = (call: Call, exitCode: number, log: string, overdue?: string) =>
    RuntimeLog.failure({
      runtime: info.name,
      command: call.command,
      exitCode,
      log,
      ...(overdue === undefined ? {} : { overdue })
    })

  const run = (call: Call, log: string, stderr: number | null) =>
    Spawn.run({
      binary,
      args: [
        ...(options.args ?? []),
        "--root",
        rootOf(call.target),
        "--log",
        log,
        "--log-format",
        "json",
        ...call.args
      ],
      stdio: call.stdio ?? { stdin: null, stdout: null, stderr },
      env: options.env,
      deadline: deadlines[call.command],
      ...(call.grace === undefined ? {} : { grace: call.grace }),
      ...(call.capture === undefined ? {} : { capture: call.capture })
    }).pipe(Effect.provideService(Children, children))

  /** One call of the binary. What it says on the way is read only where it fails. */
  const invoke = Effect.fnUntraced(function* (call: Call) {
    const { bundle } = call.target
    // Without its folder the bundle is being removed, and runtimes refuse to run without their log.
    const log = existsSync(bundle) ? (call.log ?? join(bundle, "runtime.log")) : "/dev/null"
    const offset = sizeOf(log)
    const done = yield* Effect.acquireUseRelease(
      Effect.sync(() => (call.stdio === undefined ? openLog(log) : null)),
      (stderr) => run(call, log, stderr),
      (stderr) => Effect.sync(() => stderr !== null && closeSync(stderr))
    ).pipe(Effect.catchTag("Overdue", (error) => Effect.fail(failed(call, -1, readFrom(log, offset), error.message))))
    if (done.exitCode !== 0) return yield* failed(call, done.exitCode, readFrom(log, offset))
    return done.stdout
  })

  /** What it has started is known by that file alone, so it is read again while it cannot be opened. */
  const pidFrom = (call: Call, file: string) =>
    Effect.suspend(() => Effect.fromOption(readPid(file), () => failed(call, 0, "it wrote no pid file"))).pipe(
      Effect.retry({ schedule: pidLooks, while: () => existsSync(file) })
    )

  const destroy = (target: Target, force: boolean) => {
    const args = ["delete", ...(force ? ["--force"] : []), target.containerId]
    // What the runtime does not know any more it takes no cgroup away of: those of berth's own naming are nobody else's.
    const removeRest = Effect.suspend(() => Leftovers.removeCgroups(Leftovers.ownCgroupsOf(target), { patience: true }))
    return invoke({ command: "delete", target, args }).pipe(
      Effect.catchTag("RuntimeFailed", (error) => (isKnown(target) ? Effect.fail(error) : removeRest)),
      Effect.asVoid
    )
  }

  /**
   * After a `create` that did not come to a good end: not every runtime takes its cgroups away where it refuses. Those of
   * `before` were there already.
   */
  const discard = Effect.fnUntraced(function* (
    target: Target,
    pidFile: string,
    before: ReadonlyArray<string>,
    exit: Exit.Exit<unknown, unknown>
  ) {
    const killed = wasKilled(exit)
    if (killed) yield* Leftovers.killForks(pidFile)
    if (isKnown(target)) yield* Effect.ignore(destroy(target, true))
    const groups = Leftovers.cgroupsOf(target).filter((group) => !before.includes(group))
    yield* Leftovers.removeCgroups(groups, { patience: killed })
    yield* remove(pidFile)
  })

  const pidFileOf = ({ bundle }: Target, execId: ExecId | null) =>
    join(bundle, execId === null ? "init.pid" : `exec-${execId}.pid`)

  const create: Driver["create"] = Effect.fn("OciDriver.create")(function* (target, stdio, console = null) {
    const pidFile = pidFileOf(target, null)
    const { bundle, containerId } = target
    const args = ["create", "--bundle", bundle, "--pid-file", pidFile, ...consoleSocket(console), containerId]
    const call: Call = { command: "create", target, args, stdio, grace }
    if (console !== null) yield* requires("terminal")
    const lacking = Bundle.missingSecurity(bundle)
    if (lacking !== null) {
      return yield* new Unsupported({ driver: info.name, capability: `${lacking}, which this kernel does not have` })
    }
    // Asked first, so that cleaning up after a refusal cannot hit somebody else's container.
    if (isKnown(target)) return yield* failed(call, -1, `container "${target.containerId}" already exists`)
    const before = Leftovers.madeBefore(target)
    return yield* Effect.onExit(Effect.andThen(invoke(call), pidFrom(call, pidFile)), (exit) =>
      Exit.isSuccess(exit) ? Effect.void : discard(target, pidFile, before, exit)
    ).pipe(
      Effect.catchTag("RuntimeFailed", (error) =>
        Effect.fail(Bundle.missingRootfs(bundle) ?? missingLimit(error) ?? error)
      )
    )
  })

  const exec: Driver["exec"] = Effect.fn("OciDriver.exec")(function* (target, execId, process, stdio, console = null) {
    const file = (kind: string) => join(target.bundle, `exec-${execId}.${kind}`)
    const [processFile, pidFile, log] = [file("json"), pidFileOf(target, execId), file("log")]
    const options = ["--process", processFile, "--detach", "--pid-file", pidFile, ...consoleSocket(console)]
    const args = ["exec", ...options, target.containerId]
    const call: Call = { command: "exec", target, args, stdio, log, grace }
    yield* requires("exec")
    if (console !== null) yield* requires("terminal")
    const write = Effect.try({
      try: () => {
        // One that an earlier host has left names another process.
        rmSync(pidFile, { force: true })
        writeFileSync(processFile, OciJson.stringify(process), { mode: 0o600 })
      },
      catch: (error) => failed(call, -1, `its process file cannot be written: ${codeOf(error)}`)
    })
    return yield* write.pipe(
      Effect.andThen(invoke(call)),
      Effect.andThen(pidFrom(call, pidFile)),
      Effect.onExit((exit) =>
        wasKilled(exit)
          ? Effect.andThen(
              Leftovers.killForks(pidFile),
              Option.match(readPid(pidFile), { onNone: () => Effect.void, onSome: Leftovers.kill })
            )
          : Effect.void
      ),
      Effect.ensuring(remove(processFile, pidFile, log))
    )
  })

  const requires = (capability: Capability) =>
    info.capabilities.includes(capability)
      ? Effect.void
      : Effect.fail(new Unsupported({ driver: info.name, capability }))

  const simple = (command: "start" | "pause" | "resume", target: Target) =>
    Effect.asVoid(invoke({ command, target, args: [command, target.containerId] }))

  const statusOf = Effect.fnUntraced(function* (target: Target) {
    const call: Call = { command: "state", target, args: ["state", target.containerId], capture: true }
    const text = yield* invoke(call)
    return (yield* Effect.fromOption(decodeState(text), () => failed(call, 0, `not a state: ${text}`))).status
  })

  const isPaused: Driver["isPaused"] = Effect.fn("OciDriver.isPaused")((target) =>
    Effect.map(statusOf(target), (status) => status === "paused" || status === "pausing")
  )

  const hasStarted: Driver["hasStarted"] = Effect.fn("OciDriver.hasStarted")(function* (target) {
    const status = yield* statusOf(target)
    if (status !== "stopped") return status !== "creating" && status !== "created"
    // Of one that has ended: both runc and crun keep the FIFO at which it waits to be started until it is.
    return !existsSync(join(rootOf(target), target.containerId, "exec.fifo"))
  })

  const pids: Driver["pids"] = Effect.fn("OciDriver.pids")(function* (target) {
    const call: Call = { command: "pids", target, args: ["ps", "--format", "json", target.containerId], capture: true }
    const text = yield* invoke(call).pipe(
      // crun up to 1.8 crashes here where the container has no process left.
      Effect.catchTag("RuntimeFailed", (error) =>
        error.exitCode === segmentationFault ? Effect.succeed("null") : Effect.fail(error)
      )
    )
    return (yield* Effect.fromOption(decodePids(text), () => failed(call, 0, `not a list of pids: ${text}`))) ?? []
  })

  /** Every call has its log in the bundle of its container. */
  const isCallOn = (bundles: ReadonlySet<string>) => (argv: ReadonlyArray<string>) =>
    argv.some((argument, at) => argument === "--log" && bundles.has(dirname(argv[at + 1] ?? "")))

  const leftAtWork: Driver["leftAtWork"] = Effect.fn("OciDriver.leftAtWork")(function* (target, execId) {
    const file = pidFileOf(target, execId)
    const isCall = execId === null ? isCallOn(new Set([target.bundle])) : () => false
    const found = yield* Proc.withArguments((argv) => argv.includes(file) || isCall(argv))
    if (execId !== null) {
      const started = yield* Option.match(readPid(file), { onNone: () => Effect.succeedNone, onSome: Proc.stat })
      if (Option.isSome(started) && (yield* pids(target)).includes(started.value.pid)) found.push(started.value)
    }
    return yield* identitiesOf(found)
  })

  const atWork: Driver["atWork"] = Effect.fn("OciDriver.atWork")(function* (targets) {
    const found = yield* Proc.withArguments(isCallOn(new Set(targets.map(({ bundle }) => bundle))))
    // The init of a container that waits to be started is, with crun, a fork of what has created it.
    return yield* identitiesOf(found.filter(({ forkedOnly }) => !forkedOnly))
  })

  const update: Driver["update"] = Effect.fn("OciDriver.update")(function* (target, changes) {
    const file = join(target.bundle, "update.json")
    const args = ["update", "--resources", file, target.containerId]
    yield* requires("update")
    return yield* LiveUpdate.run({
      runtime: info.name,
      where: {
        root: options.systemRoot ?? "",
        pid: Option.getOrNull(readPid(pidFileOf(target, null))),
        cgroupsPath: Option.getOrNull(Bundle.cgroupsPath(target.bundle))
      },
      changes,
      call: (resources) =>
        Effect.try({
          try: () => writeFileSync(file, OciJson.stringify(resources), { mode: 0o600 }),
          catch: (error) =>
            failed({ command: "update", target, args }, -1, `its resources file cannot be written: ${codeOf(error)}`)
        }).pipe(
          Effect.andThen(invoke({ command: "update", target, args })),
          Effect.ensuring(remove(file)),
          Effect.asVoid
        )
    })
  })

  const driver: Driver = {
    info,
    create,
    start: Effect.fn("OciDriver.start")((target) => simple("start", target)),
    exec,
    pause: Effect.fn("OciDriver.pause")((target) => Effect.andThen(requires("pause"), simple("pause", target))),
    resume: Effect.fn("OciDriver.resume")((target) => Effect.andThen(requires("pause"), simple("resume", target))),
    update,
    delete: Effect.fn("OciDriver.delete")((target, { force }) => destroy(target, force)),
    hasStarted,
    isPaused,
    leftAtWork,
    atWork,
    pids
  }
  return driver
})

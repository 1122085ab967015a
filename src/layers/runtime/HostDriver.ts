/**
 * The driver `host`: the process of a specification as a plain process of the host, for machines without an OCI runtime
 * and daemons without root. It isolates nothing. What it may not promise it refuses (`HostRefusals.ts`), and it makes
 * nothing at all where the configuration does not allow it; what runs already it goes on to manage.
 */
import { Effect, Option, Schedule, Schema } from "effect"
import type { Exit } from "effect"
import { chownSync, closeSync, constants, openSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { InvalidArgument, Unavailable, Unsupported } from "../../schema/Errors.ts"
import { RuntimeName } from "../../schema/Ids.ts"
import type { OciProcess } from "../../schema/OciSpec.ts"
import { OciSpec } from "../../schema/OciSpec.ts"
import type { Capability, DriverInfo } from "../../schema/Runtime.ts"
import type { Identity } from "../../schema/TaskState.ts"
import type { Descriptors, Driver, DriverError, Target } from "../../services/OciRuntime.ts"
import { codeOf, Libc } from "../posix/Libc.ts"
import * as Proc from "../posix/Proc.ts"
import * as HostCommand from "./HostCommand.ts"
import * as HostRecords from "./HostRecords.ts"
import * as HostRefusals from "./HostRefusals.ts"
import * as HostSessions from "./HostSessions.ts"
import * as NodePty from "./NodePty.ts"

export const name = RuntimeName.make("host")

export interface Options {
  /** Folder for its records, on volatile storage. */
  readonly root: string
  /** Whether new processes may be made; asked each time. */
  readonly enabled: () => boolean
}

const { failed } = HostCommand
const deadline = "10 seconds"
const everywhere: ReadonlyArray<Capability> = ["exec", "pause"]
const usualSize = { width: 80, height: 24 }

const notEnabled = {
  problem: "not enabled: it isolates nothing",
  mend: "berth daemon --enable-host-driver"
}

/** What it says of itself. It is never what `auto` means. */
export const info = (enabled: boolean): Effect.Effect<DriverInfo> =>
  Effect.map(NodePty.isInstalled, (terminals) => ({
    name,
    binary: null,
    version: null,
    capabilities: terminals ? [...everywhere, "terminal"] : everywhere,
    available: enabled,
    problem: enabled ? null : notEnabled.problem,
    mend: enabled ? null : notEnabled.mend,
    default: false
  }))

const decodeSpec = Schema.decodeEffect(Schema.fromJsonString(OciSpec))

/** The numbers of setrlimit(2), in their order. */
const limits =
  "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME".split(" ")

interface Launch {
  readonly operation: "create" | "exec"
  readonly process: OciProcess
  readonly fifo: string
  readonly stdio: Descriptors
  readonly console: string | null
}

/** Makes the driver; it holds no resource. */
export const make = Effect.fnUntraced(function* (options: Options) {
  const libc = yield* Libc
  const about = yield* info(options.enabled())
  const bootId = yield* Proc.bootId
  const self = { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 }
  const recordsOf = (target: Target) => HostRecords.of(options.root, target)
  const provided = Effect.provideService(Libc, libc)

  const requires = (capability: Capability) =>
    about.capabilities.includes(capability) ? Effect.void : Effect.fail(new Unsupported({ driver: name, capability }))
  const allowed = Effect.suspend(() =>
    options.enabled() ? Effect.void : Effect.fail(new Unavailable({ what: `runtime "${name}"`, ...notEnabled }))
  )
  const disk = <A>(command: string, run: () => A) =>
    Effect.try({ try: run, catch: (error) => failed(command, `its records: ${codeOf(error)}`) })

  /** What can be set from outside, while it waits. */
  const adjust = Effect.fnUntraced(function* (pid: number, { oomScoreAdj, rlimits = [] }: OciProcess) {
    for (const { hard, soft, type } of rlimits) {
      const resource = limits.indexOf(type.replace(/^RLIMIT_/, ""))
      const invalid = (problem: string) => new InvalidArgument({ field: "rlimits", problem: `${type}: ${problem}` })
      if (resource < 0) return yield* invalid("no such limit")
      const limit = { soft: BigInt(soft), hard: BigInt(hard) }
      yield* Effect.mapError(libc.setLimit(pid, resource, limit), ({ code }) => invalid(code))
    }
    if (oomScoreAdj === undefined) return
    yield* Effect.try({
      try: () => writeFileSync(`/proc/${pid}/oom_score_adj`, `${oomScoreAdj}`),
      catch: (error) => new InvalidArgument({ field: "oomScoreAdj", problem: codeOf(error) })
    })
  })

  const identityOf = (operation: string, pid: number) =>
    Effect.flatMap(Proc.stat(pid), (found) =>
      Effect.fromOption(found, () => failed(operation, "it is gone")).pipe(
        Effect.map(({ startTime }): Identity => ({ pid, startTime, bootId }))
      )
    )

  /** Ends a process of ours that nobody else knows, and waits for it. */
  const discard = (pid: number) =>
    Effect.ignore(libc.kill(pid, HostSessions.sigkill)).pipe(
      Effect.andThen(
        Effect.repeat(libc.waitpid(pid), {
          until: Option.isSome,
          schedule: Schedule.spaced("2 millis"),
          times: 500
        })
      ),
      Effect.ignore
    )

  const spawn = Effect.fnUntraced(function* (
    { console, operation, process, stdio }: Launch,
    { args, env, owner, path }: HostCommand.Command
  ) {
    const program = { path, args, env, ...stdio }
    const mapped = Effect.mapError(({ code }: { readonly code: string }) => failed(operation, `${path}: ${code}`))
    if (console === null) return yield* mapped(libc.spawn(program))
    const { height, width } = process.consoleSize ?? usualSize
    const terminal = yield* NodePty.open({ height, width }).pipe(provided)
    if (owner !== null) yield* disk(operation, () => chownSync(terminal.path, owner.uid, -1))
    yield* mapped(libc.sendDescriptor(console, terminal.master))
    return yield* mapped(libc.spawn({ ...program, terminal: terminal.path }))
  }, Effect.scoped)

  /** A process that waits, with what can be told of it; ended again where it cannot be made as it should. */
  const launch = Effect.fnUntraced(function* (launch: Launch) {
    const { fifo, operation, process } = launch
    const command = yield* Effect.fromResult(HostCommand.make(operation, process, fifo, self))
    yield* Effect.mapError(libc.mkfifo(fifo, 0o600), ({ code }) => failed(operation, `mkfifo: ${code}`))
    const pid = yield* spawn(launch, command)
    return yield* Effect.andThen(adjust(pid, process), identityOf(operation, pid)).pipe(
      Effect.onError(() => discard(pid))
    )
  }, Effect.uninterruptible)

  /** Opens the other end of a FIFO; false while nobody waits for it. */
  const opened = (fifo: string) =>
    Effect.sync(() => {
      try {
        closeSync(openSync(fifo, constants.O_WRONLY | constants.O_NONBLOCK))
        rmSync(fifo, { force: true })
        return true
      } catch {
        return false
      }
    })

  /** Lets a process go, and returns when it has become its program. */
  const release = Effect.fnUntraced(function* (operation: string, fifo: string, identity: Identity) {
    const ended = Effect.map(HostSessions.isAlive(identity), (alive) => !alive)
    const waiting = Effect.map(Proc.argv(identity.pid), (argv) => argv.includes(fifo))
    const soon = Schedule.spaced("1 millis")
    const gone = Effect.andThen(
      Effect.repeat(opened(fifo), {
        while: (done) => (done ? Effect.succeed(false) : Effect.map(ended, (over) => !over)),
        schedule: soon
      }),
      Effect.repeat(waiting, { while: (still) => still, schedule: soon })
    )
    const orElse = () => Effect.fail(failed(operation, "it does not begin", "deadline"))
    yield* Effect.timeoutOrElse(gone, { duration: deadline, orElse })
  })

  const specOf = ({ bundle }: Target) =>
    disk("create", () => readFileSync(join(bundle, "config.json"), "utf8")).pipe(
      Effect.flatMap((text) => Effect.mapError(decodeSpec(text), ({ message }) => failed("create", message)))
    )

  const refuse = (asked: string | null) =>
    asked === null ? Effect.void : Effect.fail(new Unsupported({ driver: name, capability: asked }))

  const create: Driver["create"] = Effect.fn("HostDriver.create")(function* (target, stdio, console = null) {
    yield* allowed
    const spec = yield* specOf(target)
    if (spec.process === undefined) return yield* new InvalidArgument({ field: "spec", problem: "it has no process" })
    yield* refuse(HostRefusals.ofSpec(spec))
    if (console !== null) yield* requires("terminal")
    const records = recordsOf(target)
    if (records.exists()) return yield* failed("create", `container "${target.containerId}" already exists`)
    yield* disk("create", records.make)
    const asked: Launch = { operation: "create", process: spec.process, fifo: records.fifo(null), stdio, console }
    const save = (identity: Identity) =>
      Effect.onError(
        disk("create", () => records.saveInit(identity)),
        () => discard(identity.pid)
      )
    return yield* Effect.tap(launch(asked), save).pipe(
      Effect.map(({ pid }) => pid),
      Effect.onError(() => Effect.ignore(disk("create", records.remove)))
    )
  }, Effect.uninterruptible)

  /** A container that is there, and whether its first process lives and has begun. */
  const known = Effect.fnUntraced(function* (command: string, target: Target) {
    const records = recordsOf(target)
    const init = yield* Effect.fromOption(records.init(), () => failed(command, "container does not exist"))
    return { records, init, alive: yield* HostSessions.isAlive(init) }
  })
  const running = Effect.fnUntraced(function* (command: string, target: Target) {
    const found = yield* known(command, target)
    if (!found.alive) return yield* failed(command, "container has ended")
    return found
  })

  const start: Driver["start"] = Effect.fn("HostDriver.start")(function* (target) {
    const { init, records } = yield* running("start", target)
    if (!records.isUnstarted()) return yield* failed("start", "container has been started")
    yield* release("start", records.fifo(null), init)
  })

  const exec: Driver["exec"] = Effect.fn("HostDriver.exec")(function* (target, execId, process, stdio, console = null) {
    yield* allowed
    yield* requires("exec")
    yield* refuse(HostRefusals.ofProcess(process))
    if (console !== null) yield* requires("terminal")
    const { records } = yield* running("exec", target)
    const fifo = records.fifo(execId)
    const begin = (identity: Identity) =>
      Effect.andThen(
        disk("exec", () => records.saveExec(identity)),
        release("exec", fifo, identity)
      ).pipe(Effect.onError(() => discard(identity.pid)))
    return yield* Effect.uninterruptibleMask((restore) =>
      Effect.tap(launch({ operation: "exec", process, fifo, stdio, console }), (identity) => restore(begin(identity)))
    ).pipe(
      Effect.map(({ pid }) => pid),
      Effect.ensuring(Effect.ignore(disk("exec", () => rmSync(fifo, { force: true }))))
    )
  })

  const all = (
    command: "pause" | "resume",
    target: Target,
    act: (leaders: ReadonlyArray<Identity>) => Effect.Effect<boolean, Unavailable, Libc>
  ): Effect.Effect<void, DriverError> =>
    Effect.gen(function* () {
      yield* requires("pause")
      const { records } = yield* running(command, target)
      const done = yield* act(records.leaders())
      if (!done) return yield* failed(command, "not every process heeds it", "deadline")
    }).pipe(provided)

  const thawOnError = (target: Target) => (exit: Exit.Exit<void, DriverError>) =>
    exit._tag === "Success" ? Effect.void : Effect.ignore(all("resume", target, resumed))
  const resumed = (leaders: ReadonlyArray<Identity>) => HostSessions.resume(leaders, deadline)

  /** A process that a driver made and did not come to write down waits for ever; its arguments tell whose it is. */
  const strays = Effect.fnUntraced(function* ({ hasFifo, isWaiting }: HostRecords.Records) {
    const found: Array<Identity> = []
    if (!hasFifo()) return found
    for (const { pid, startTime } of yield* Proc.all) {
      if (isWaiting(yield* Proc.argv(pid))) found.push({ pid, startTime, bootId })
    }
    return found
  })

  const remove: Driver["delete"] = Effect.fn("HostDriver.delete")(function* (target, { force }) {
    const records = recordsOf(target)
    if (!records.exists()) return
    const init = Option.getOrNull(records.init())
    const waits = init === null || records.isUnstarted()
    if (!force && !waits && (yield* HostSessions.isAlive(init))) return yield* failed("delete", "container is running")
    const leaders = [...records.leaders(), ...(yield* strays(records))]
    if (!(yield* provided(HostSessions.kill(leaders, deadline)))) {
      return yield* failed("delete", "not every process ends", "deadline")
    }
    yield* disk("delete", records.remove)
  })

  const driver: Driver = {
    info: about,
    create,
    start,
    exec,
    pause: Effect.fn("HostDriver.pause")((target) =>
      Effect.onExit(
        all("pause", target, (leaders) => HostSessions.stop(leaders, deadline)),
        thawOnError(target)
      )
    ),
    resume: Effect.fn("HostDriver.resume")((target) => all("resume", target, resumed)),
    update: () => Effect.fail(new Unsupported({ driver: name, capability: "update" })),
    delete: remove,
    hasStarted: Effect.fn("HostDriver.hasStarted")(function* (target) {
      const { records } = yield* known("pids", target)
      return !records.isUnstarted()
    }),
    isPaused: Effect.fn("HostDriver.isPaused")(function* (target) {
      const { records } = yield* known("pids", target)
      return HostSessions.running(yield* HostSessions.members(records.leaders())).length === 0
    }),
    /** Of an exec what waits to begin; what has begun is no longer told from the others of its container. Of a creation `delete` takes care. */
    leftAtWork: Effect.fn("HostDriver.leftAtWork")(function* (target, execId) {
      if (execId === null) return []
      const waiting = yield* Proc.withArgument(recordsOf(target).fifo(execId))
      return waiting.map(({ pid, startTime }) => ({ pid, startTime, bootId }))
    }),
    /** What it does ends with the process that called it. */
    atWork: () => Effect.succeed([]),
    pids: Effect.fn("HostDriver.pids")(function* (target) {
      const { records } = yield* known("pids", target)
      return (yield* HostSessions.members(records.leaders())).map(({ pid }) => pid)
    })
  }
  return driver
})

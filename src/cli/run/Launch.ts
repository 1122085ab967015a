/** Making containers: the steps that `run` and `create` share. What fails half-way leaves nothing behind. */
import { Effect, FileSystem, Option, Predicate } from "effect"
import type { NewContainer } from "../../schema/Container.ts"
import { Unavailable } from "../../schema/Errors.ts"
import type { ContainerId } from "../../schema/Ids.ts"
import type { Stdio, TerminalSize } from "../../schema/Process.ts"
import { Containers } from "../../services/Containers.ts"
import { Tasks } from "../../services/Tasks.ts"
import { defaultAddress, root } from "../Globals.ts"
import { Tty } from "../terminal/Tty.ts"
import type { CreateFlags } from "./Flags.ts"
import { record as newRecord, stdio } from "./TaskInput.ts"
import { refuse } from "./Unsupported.ts"

/** Everything that has to be known before the daemon is asked for anything. */
export interface Plan {
  readonly container: NewContainer
  readonly stdio: Stdio
  /** What its terminal begins with, where it has one and the command too. */
  readonly size: TerminalSize | null
  readonly autoRemove: boolean
  readonly pidFile: Option.Option<string>
}

/** Whether the daemon sees the same files as this command. */
export const isLocal = Effect.map(root, ({ address }) => !/^https?:/.test(address) || address === defaultAddress)

/** Reads the options that shape a specification, and refuses those that this version cannot do. */
export const specOf = Effect.fnUntraced(function* (command: string, flags: CreateFlags, words: ReadonlyArray<string>) {
  const refusal = refuse(flags)
  if (refusal !== null) return yield* refusal
  const { specOf } = yield* Effect.promise(() => import("./SpecInput.ts"))
  return yield* specOf(command, flags, words, yield* isLocal)
})

/** What `run` and `create` are to make. */
export const plan = Effect.fnUntraced(function* (
  command: string,
  flags: CreateFlags,
  words: ReadonlyArray<string>,
  autoRemove: boolean
) {
  const refusal = refuse(flags)
  if (refusal !== null) return yield* refusal
  const rest = { stdio: yield* stdio(command, flags), autoRemove, pidFile: flags.pidFile }
  const record = yield* newRecord(command, flags)
  const spec = yield* specOf(command, flags, words)
  const size = spec.process?.terminal === true ? yield* (yield* Tty).size : null
  const made: Plan = { ...rest, size, container: { ...record, spec } }
  return made
})

const reasons: { readonly [tag: string]: string } = {
  NotFound: "its folder does not exist",
  PermissionDenied: "permission denied"
}

const writePid = Effect.fnUntraced(function* (file: string, pid: number) {
  const fs = yield* FileSystem.FileSystem
  yield* fs.writeFileString(file, `${pid}\n`).pipe(
    Effect.mapError(({ reason }) => {
      const code = Predicate.hasProperty(reason.cause, "code") ? String(reason.cause.code) : reason._tag
      const problem = `cannot be written: ${reasons[reason._tag] ?? code}`
      return new Unavailable({ what: `--pid-file ${file}`, problem, mend: "choose a file in a folder that exists" })
    })
  )
})

/** Takes away whatever there is of a container. */
const undo = (id: ContainerId) =>
  Effect.gen(function* () {
    yield* Effect.ignore((yield* Tasks).delete({ id, force: true }))
    yield* Effect.ignore((yield* Containers).delete(id))
  })

/**
 * Container and task, up to `created`; then `use`. Where that fails or is interrupted both are taken away again, unless it has said `keep`: from then on
 * the container goes its own way.
 */
export const withCreated = <A, E, R>(
  { autoRemove, container, pidFile, size, stdio }: Plan,
  use: (id: ContainerId, keep: Effect.Effect<void>) => Effect.Effect<A, E, R>
) =>
  Effect.gen(function* () {
    const containers = yield* Containers
    const tasks = yield* Tasks
    const { id } = container
    let kept = false
    const keep = Effect.sync(() => {
      kept = true
    })
    const task = Effect.gen(function* () {
      const task = yield* tasks.create({ id, stdio, autoRemove, ...(size === null ? {} : { size }) })
      if (Option.isSome(pidFile) && task.pid !== null) yield* writePid(pidFile.value, task.pid)
      return yield* use(id, keep)
    })
    const orUndo = Effect.onError(() => (kept ? Effect.void : undo(id)))
    return yield* Effect.uninterruptibleMask((restore) =>
      Effect.andThen(containers.create(container), orUndo(restore(task)))
    )
  })

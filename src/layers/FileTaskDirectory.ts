/**
 * Task folders as files below the state folder: `tasks/<namespace>/<container>/` is the bundle, with `config.json`, `init.json` (the record) and the FIFOs
 * of init in it, and `exec/<id>/` for each exec, with `record.json` and its FIFOs. Every operation is a few system calls on a memory file system and is done
 * in one piece. It never removes what is inside a folder that it does not know: that may be a root filesystem.
 */
import { Effect, Layer, Option, Schema } from "effect"
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync
} from "node:fs"
import { join } from "node:path"
import { AlreadyExists, NotFound } from "../schema/Errors.ts"
import type { ResourceExhausted, Unavailable } from "../schema/Errors.ts"
import { HostedRecord, Ref } from "../schema/Host.ts"
import { processKey } from "../schema/Ids.ts"
import type { ContainerId, ExecId, Namespace, ProcessRef } from "../schema/Ids.ts"
import { stringify } from "../schema/OciJson.ts"
import type { OciSpec } from "../schema/OciSpec.ts"
import { pinIn } from "../services/ProcessReaper.ts"
import { TaskDirectory } from "../services/TaskDirectory.ts"
import { lowerOf } from "../spec/Overlay.ts"
import { diskFailure, unavailable } from "./io/DiskFailure.ts"
import { removeMade } from "./io/UserFifos.ts"
import * as Overlay from "./Overlay.ts"
import { codeOf, Libc } from "./posix/Libc.ts"
import * as Pins from "./reaper/Pins.ts"

const what = "task folder"
const Json = Schema.fromJsonString(HostedRecord)
const encode = Schema.encodeEffect(Json)
const decode = Schema.decodeUnknownOption(Json)
const decodeRef = Schema.decodeUnknownOption(Ref)

/** Runs; `null` where it failed with this errno. */
const unless = <A>(code: string, run: () => A): A | null => {
  try {
    return run()
  } catch (error) {
    if (codeOf(error) === code) return null
    throw error
  }
}

/** What keeps a file from being read now, and says nothing about the file. */
const passing: ReadonlySet<string> = new Set(["EMFILE", "ENFILE", "ENOMEM", "EINTR", "EAGAIN"])

/** Throws where it cannot be told: what has a record may be alive. */
const isAbsent = (path: string) => unless("ENOENT", () => statSync(path)) === null

const entries = (folder: string) => unless("ENOENT", () => readdirSync(folder, { withFileTypes: true })) ?? []

const replace = (path: string, text: string): void => {
  // No identifier ends like this, and only this process writes here.
  const temporary = `${path}~`
  try {
    writeFileSync(temporary, text, { mode: 0o600 })
    renameSync(temporary, path)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
}

/** Removes a folder with the files and the empty folders in it, `last` behind all others. */
const removeFolder = (folder: string, last: string): void => {
  for (const entry of entries(folder)) {
    const path = join(folder, entry.name)
    if (entry.name !== last) unless("ENOENT", () => (entry.isDirectory() ? rmdirSync(path) : unlinkSync(path)))
  }
  unless("ENOENT", () => unlinkSync(join(folder, last)))
  unless("ENOENT", () => rmdirSync(folder))
}

/** A record goes last, so that whatever is left when this is cut short is still listed. */
const removeTask = (bundle: string): void => {
  for (const { name } of entries(join(bundle, "exec"))) removeFolder(join(bundle, "exec", name), "record.json")
  removeFolder(bundle, "init.json")
}

/** Makes a folder in the one of its namespace, which a removal may take away at any moment; false where it is taken. An empty one was cut short. */
const makeIn = (parent: string, folder: string): boolean => {
  for (;;) {
    mkdirSync(parent, { recursive: true, mode: 0o700 })
    try {
      mkdirSync(folder, { mode: 0o700 })
      return true
    } catch (error) {
      const code = codeOf(error)
      if (code !== "EEXIST" && code !== "ENOENT") throw error
      if (code === "EEXIST" && !unless("ENOTEMPTY", () => (rmdirSync(folder), true))) return false
    }
  }
}

const rootOf = (state: string) => join(state, "tasks")

/** The folder of a process below a state folder. */
export const pathOf = (state: string, { containerId, execId, namespace }: ProcessRef): string =>
  join(rootOf(state), namespace, containerId, ...(execId === null ? [] : ["exec", execId]))

const names = (path: string) => entries(path).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))

const execsIn = (bundle: string) => names(join(bundle, "exec"))

/** Every process that has a folder, init before its execs; a folder by another name is not one of a process. */
const refsBelow = (root: string): ReadonlyArray<Ref> =>
  names(root)
    .flatMap((namespace) => names(join(root, namespace)).map((containerId) => ({ namespace, containerId })))
    .flatMap((task) =>
      [null, ...execsIn(join(root, task.namespace, task.containerId))].map((execId) => ({ ...task, execId }))
    )
    .flatMap((name) => Option.toArray(decodeRef(name)))

const recordIn = (state: string, ref: ProcessRef) =>
  join(pathOf(state, ref), ref.execId === null ? "init.json" : "record.json")

/** A look at the records of a state folder in which another process may be at work: what cannot be read is not there. */
export const peek = Effect.fnUntraced(function* (state: string) {
  const read = (ref: ProcessRef) => Effect.option(Effect.try(() => readFileSync(recordIn(state, ref), "utf8")))
  const refs = yield* Effect.option(Effect.try(() => refsBelow(rootOf(state))))
  const texts = yield* Effect.forEach(
    Option.getOrElse(refs, (): ReadonlyArray<Ref> => []),
    read
  )
  return texts.flatMap((text) => Option.toArray(Option.flatMap(text, decode)))
})

/** TaskDirectory on files; `state` is the volatile folder of berth. */
export const layer = (options: { readonly state: string }): Layer.Layer<TaskDirectory> =>
  Layer.unwrap(Effect.map(Libc, (libc) => folders(options, libc))).pipe(Layer.provide(Libc.layer))

const folders = (options: { readonly state: string }, libc: Libc["Service"]): Layer.Layer<TaskDirectory> =>
  Layer.sync(TaskDirectory, () => {
    const root = rootOf(options.state)
    const bundleOf = (namespace: Namespace, id: ContainerId) => join(root, namespace, id)
    const directory = (ref: ProcessRef) => pathOf(options.state, ref)
    const recordOf = (ref: ProcessRef) => recordIn(options.state, ref)
    const refs = () => refsBelow(root)

    const reading = <A>(run: () => A): Effect.Effect<A, Unavailable> =>
      Effect.try({ try: run, catch: (error) => unavailable(what, "read it", error) })
    const writing = <A>(action: string, run: () => A): Effect.Effect<A, ResourceExhausted | Unavailable> =>
      Effect.try({ try: run, catch: (error) => diskFailure(what, action, root, error) })
    const create = Effect.fn("TaskDirectory.create")(function* (namespace: Namespace, id: ContainerId, spec: OciSpec) {
      const bundle = bundleOf(namespace, id)
      const made = yield* writing("make it", () => {
        if (!makeIn(join(root, namespace), bundle)) return false
        try {
          writeFileSync(join(bundle, "config.json"), stringify(spec), { mode: 0o600 })
          return true
        } catch (error) {
          rmSync(bundle, { recursive: true, force: true })
          throw error
        }
      })
      if (!made) return yield* new AlreadyExists({ kind: "task", id })
      const lower = lowerOf(spec)
      if (lower === null) return bundle
      const undo = Effect.andThen(
        Overlay.release(libc, bundle),
        writing("remove it", () => removeTask(bundle))
      )
      return yield* Effect.as(
        Effect.onError(Overlay.mount(libc, bundle, lower), () => Effect.ignoreCause(undo)),
        bundle
      )
    })

    const prepareExec = Effect.fn("TaskDirectory.prepareExec")(function* (
      namespace: Namespace,
      id: ContainerId,
      execId: ExecId
    ) {
      const bundle = bundleOf(namespace, id)
      const folder = join(bundle, "exec", execId)
      const found = yield* writing("make the folder of an exec", () => {
        try {
          unless("EEXIST", () => mkdirSync(join(bundle, "exec"), { mode: 0o700 }))
          mkdirSync(folder, { mode: 0o700 })
          return null
        } catch (error) {
          const code = codeOf(error)
          if (code === "ENOENT") return new NotFound({ kind: "task", id })
          if (code === "EEXIST") return new AlreadyExists({ kind: "exec", id: execId })
          throw error
        }
      })
      return found === null ? folder : yield* found
    })

    const save = Effect.fn("TaskDirectory.save")(function* (record: HostedRecord) {
      const text = yield* Effect.orDie(encode(record))
      yield* writing("save a record", () => replace(recordOf(record.ref), text))
    })

    const load = Effect.fn("TaskDirectory.load")(function* (ref: ProcessRef) {
      const text = yield* reading(() => unless("ENOENT", () => readFileSync(recordOf(ref), "utf8")))
      if (text === null) return Option.none()
      const record = decode(text)
      return Option.isSome(record) ? record : yield* unavailable(what, "read a record", new Error("damaged"))
    })

    const unpin = (folder: string) => Pins.remove(libc, pinIn(folder))
    /** Unmounts what berth has mounted in the folder. */
    const release = Effect.fnUntraced(function* (ref: ProcessRef) {
      const folder = directory(ref)
      yield* unpin(folder)
      if (ref.execId !== null) return
      for (const name of execsIn(folder)) yield* unpin(join(folder, "exec", name))
      yield* Overlay.release(libc, folder)
    })
    const remove = Effect.fn("TaskDirectory.remove")((ref: ProcessRef) =>
      Effect.andThen(release(ref), removeFiles(ref))
    )
    const removeFiles = (ref: ProcessRef) =>
      Effect.try({
        try: () => {
          const folder = directory(ref)
          const execs = ref.execId === null ? execsIn(folder).map((name) => join(folder, "exec", name)) : []
          for (const each of [folder, ...execs]) removeMade(each)
          if (ref.execId !== null) return removeFolder(directory(ref), "record.json")
          removeTask(directory(ref))
          // Only the last task of a namespace leaves it empty.
          unless("ENOTEMPTY", () => unless("ENOENT", () => rmdirSync(join(root, ref.namespace))))
        },
        catch: (error) => unavailable(what, "remove it", error)
      })

    /** The text of a record, whatever it is; `null` where there is none, `undefined` where no other attempt could read it either. */
    const textOf = (ref: ProcessRef) =>
      reading(() => {
        try {
          return unless("ENOENT", () => readFileSync(recordOf(ref), "utf8"))
        } catch (error) {
          if (passing.has(codeOf(error))) throw error
          return undefined
        }
      })

    const list = Effect.gen(function* () {
      const records: Array<HostedRecord> = []
      for (const ref of yield* reading(refs)) {
        const text = yield* textOf(ref)
        const record = Option.flatMap(Option.fromNullishOr(text), decode)
        if (Option.isSome(record)) records.push(record.value)
        else {
          yield* Effect.logWarning(`skipping ${processKey(ref)}: it has no readable record`)
          // A host died while it made this one. Nobody will ask for what it mounted.
          if (text === null) yield* Effect.ignore(release(ref))
        }
      }
      return records
    }).pipe(Effect.withSpan("TaskDirectory.list"))

    const unrecorded = reading(() => refs().filter((ref) => isAbsent(recordOf(ref)))).pipe(
      Effect.withSpan("TaskDirectory.unrecorded")
    )

    return TaskDirectory.of({ directory, create, prepareExec, save, load, list, unrecorded, remove })
  })

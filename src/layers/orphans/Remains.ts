/**
 * Everything on this machine that the berth of one state folder has made and that could outlive its task, with the container that it is of. It looks and
 * changes nothing. What does not have exactly the name and place that berth gives is not berth's, and not seen.
 */
import { Effect, Option, Schema } from "effect"
import { lstatSync, readdirSync, readFileSync, realpathSync } from "node:fs"
import { join } from "node:path"
import type { ContainerRef, HostedRecord } from "../../schema/Host.ts"
import { ContainerRef as Ref } from "../../schema/Host.ts"
import type { OrphanKind } from "../../schema/Orphan.ts"
import { TaskDirectory } from "../../services/TaskDirectory.ts"
import { probe } from "../server/Listen.ts"

/** Where the berth in question has its things. */
export interface Place {
  readonly root: string
  readonly state: string
  readonly cgroupPrefix: string
  readonly cgroupRoot?: string
}

/** The record of a task folder: there, not there, or not to be read. */
export type Recorded = HostedRecord | "none" | "damaged"

export interface Remain {
  readonly kind: OrphanKind
  readonly path: string
  readonly owner: ContainerRef | null
  /** Of a task folder. */
  readonly record?: Recorded
}

const decode = Schema.decodeUnknownOption(Ref)

const foldersIn = (path: string): ReadonlyArray<string> => {
  try {
    return readdirSync(path, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : []))
  } catch {
    return []
  }
}

/** The folders `<base>/<namespace>/<container>`. */
const perContainer = (base: string) =>
  foldersIn(base).flatMap((namespace) =>
    foldersIn(join(base, namespace)).flatMap((containerId) =>
      Option.match(decode({ namespace, containerId }), {
        onNone: () => [],
        onSome: (owner) => [{ owner, path: join(base, namespace, containerId) }]
      })
    )
  )

const runtimes = ({ state }: Place): ReadonlyArray<Remain> =>
  foldersIn(join(state, "runtime")).flatMap((name) =>
    perContainer(join(state, "runtime", name)).map((found) => ({ ...found, kind: "runtime" as const }))
  )

const logs = ({ root }: Place): ReadonlyArray<Remain> =>
  perContainer(join(root, "logs")).map((found) => ({ ...found, kind: "log" as const }))

/** `PREFIX--NAMESPACE--ID`, and nothing that only begins like that. */
const ownerOf = (prefix: string, name: string): Option.Option<ContainerRef> => {
  const [first, namespace, containerId, ...rest] = name.split("--")
  return first === prefix && rest.length === 0 ? decode({ namespace, containerId }) : Option.none()
}

/** One for each hierarchy that has it. */
const cgroups = ({ cgroupPrefix, cgroupRoot = "/sys/fs/cgroup" }: Place): ReadonlyArray<Remain> => {
  const unified = foldersIn(cgroupRoot).length === 0 || isFile(join(cgroupRoot, "cgroup.controllers"))
  const hierarchies = unified ? [cgroupRoot] : foldersIn(cgroupRoot).map((name) => join(cgroupRoot, name))
  return hierarchies.flatMap((hierarchy) =>
    foldersIn(hierarchy).flatMap((name) =>
      Option.match(ownerOf(cgroupPrefix, name), {
        onNone: () => [],
        onSome: (owner) => [{ kind: "cgroup" as const, owner, path: join(hierarchy, name) }]
      })
    )
  )
}

const isFile = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.isFile() === true
const isSocket = (path: string) => lstatSync(path, { throwIfNoEntry: false })?.isSocket() === true

/** As /proc/self/mountinfo writes a path. */
const unescaped = (text: string) =>
  text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))

/** What `layers/Overlay.ts` mounts in a task folder, each path once; whatever else is mounted in one is somebody's. */
const mounts = ({ state }: Place): ReadonlyArray<Remain> => {
  const read = (): readonly [string, string] => {
    try {
      return [join(realpathSync(state), "tasks"), readFileSync("/proc/self/mountinfo", "utf8")]
    } catch {
      return ["", ""]
    }
  }
  const [base, table] = read()
  const paths = table
    .split("\n")
    .filter((line) => / - (?:overlay|tmpfs) /.test(line))
    .map((line) => unescaped(line.split(" ")[4] ?? ""))
    .filter((path) => path.startsWith(`${base}/`))
  return Array.from(new Set(paths)).flatMap((path) => {
    const [namespace, containerId, name, ...rest] = path.slice(base.length + 1).split("/")
    const owner = decode({ namespace, containerId })
    return rest.length === 0 && (name === "rootfs" || name === "overlay") && Option.isSome(owner)
      ? [{ kind: "mount" as const, owner: owner.value, path }]
      : []
  })
}

const tasks = Effect.fnUntraced(function* ({ state }: Place) {
  const directory = yield* TaskDirectory
  return yield* Effect.forEach(perContainer(join(state, "tasks")), ({ owner, path }) =>
    Effect.map(Effect.option(directory.load({ ...owner, execId: null })), (read): Remain => {
      const record: Recorded = Option.isNone(read) ? "damaged" : Option.getOrElse(read.value, () => "none" as const)
      return { kind: record === "damaged" ? "record" : record === "none" ? "folder" : "container", path, owner, record }
    })
  )
})

/** Sockets that nobody answers on: of a daemon and of a shim that ended without a word. */
const sockets = ({ state }: Place) =>
  Effect.filter(["berth.sock", "shim.sock"].map((name) => join(state, name)).filter(isSocket), (path) =>
    Effect.map(probe(path), (found) => found === "dead")
  ).pipe(Effect.map((dead) => dead.map((path): Remain => ({ kind: "socket", path, owner: null }))))

/** What is used and what is not. */
export const find = Effect.fn("Remains.find")(function* (place: Place) {
  return [
    ...(yield* tasks(place)),
    ...runtimes(place),
    ...mounts(place),
    ...cgroups(place),
    ...logs(place),
    ...(yield* sockets(place))
  ]
})

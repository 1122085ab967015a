/** What the doctor looks at, read from the machine once. Nothing is changed unless a repair is asked for, and what cannot be read is absent. */
import { Effect, FileSystem, Option } from "effect"
import type { Cause, Layer } from "effect"
import { release } from "node:os"
import type { BerthError } from "../../schema/Errors.ts"
import type { Orphan } from "../../schema/Orphan.ts"
import type { DriverInfo } from "../../schema/Runtime.ts"
import { OciRuntime } from "../../services/OciRuntime.ts"
import { System } from "../../services/System.ts"

/** The machine as text files and versions; `null` is what is not there. */
export interface Facts {
  readonly platform: string
  readonly kernel: string
  readonly node: string
  readonly sqlite: string | null
  readonly uid: number
  /** /proc/self/status: capabilities and seccomp. */
  readonly status: string
  /** /proc/filesystems. */
  readonly filesystems: string
  /** /proc/self/mountinfo. */
  readonly mounts: string
  /** cgroup.controllers of a version 2 host. */
  readonly cgroup2: string | null
  /** cgroup.controllers of the version 2 hierarchy beside version 1. */
  readonly unified: string | null
  readonly maxUserNamespaces: string | null
  /** What loading the native library said; `null` where it went well. */
  readonly libc: string | null
  readonly drivers: ReadonlyArray<DriverInfo>
  readonly criu: string | null
  /** Where the store is, and each row of it that cannot be read. */
  readonly store: { readonly file: string; readonly damages: ReadonlyArray<string> }
  /** What crashes have left behind, and why that cannot be told. */
  readonly orphans: { readonly found: ReadonlyArray<Orphan>; readonly problem: string | null }
  readonly daemon:
    | { readonly address: string; readonly version: string; readonly root: string; readonly shim: string | null }
    | { readonly address: string; readonly problem: string }
}

/** Of the daemon that answers; else where one would have it. */
const store = Effect.fnUntraced(function* (daemon: Facts["daemon"], root: string) {
  const { damages } = yield* Effect.promise(() => import("../../layers/store/Inspection.ts"))
  const file = `${"root" in daemon ? daemon.root : root}/berth.db`
  return { file, damages: yield* damages(file) }
})

const read = (file: string) =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    return yield* Effect.option(fs.readFileString(file))
  })

const textOf = (file: string) =>
  Effect.map(
    read(file),
    Option.getOrElse(() => "")
  )
const orNull = (file: string) => Effect.map(read(file), Option.getOrNull)

const firstOnPath = Effect.fnUntraced(function* (name: string) {
  const fs = yield* FileSystem.FileSystem
  const folders = [...(process.env["PATH"] ?? "").split(":"), "/usr/local/sbin", "/usr/sbin", "/sbin"]
  const found = yield* Effect.findFirst(
    folders.filter((folder) => folder !== ""),
    (folder) => Effect.orElseSucceed(fs.exists(`${folder}/${name}`), () => false)
  )
  return Option.getOrNull(Option.map(found, (folder) => `${folder}/${name}`))
})

/** The drivers as a daemon of this user would find them. */
const ownDrivers = Effect.gen(function* () {
  const Local = yield* Effect.promise(() => import("../../layers/Local.ts"))
  return yield* Effect.flatMap(OciRuntime, (runtime) => runtime.list).pipe(
    Effect.provide(Local.runtimes({ state: "/run/berth", runtimes: {} }))
  )
})

/** What the daemon says, which may be another user's and otherwise configured; without one, what is found here. */
const drivers = (services: Layer.Layer<System, BerthError>) =>
  Effect.flatMap(System, ({ runtimes }) => runtimes).pipe(
    Effect.timeout("5 seconds"),
    Effect.provide(services),
    Effect.catch(() => ownDrivers)
  )

const libc = Effect.gen(function* () {
  const { Libc } = yield* Effect.promise(() => import("../../layers/posix/Libc.ts"))
  yield* Effect.provide(Effect.asVoid(Libc), Libc.layer)
  return null
}).pipe(Effect.catchCause((cause) => Effect.succeed(String(cause))))

const whyNot = (error: BerthError | Cause.TimeoutError) =>
  error._tag === "Unavailable" ? error.problem : error.message

const daemon = (address: string) =>
  Effect.flatMap(System, ({ info }) => info).pipe(
    Effect.map(({ root, shim, version }) => ({ address, version, root, shim: shim?.version ?? null })),
    Effect.timeout("2 seconds"),
    Effect.catch((error) => Effect.succeed({ address, problem: whyNot(error) }))
  )

/** What to do about what crashes left behind, and where, if no daemon answers. */
export interface Cleaning {
  readonly repair: boolean
  readonly root: string
  readonly state: string
}

/** By the daemon that answers, and by this process where none does. */
const orphans = Effect.fnUntraced(
  function* (daemon: Facts["daemon"], services: Layer.Layer<System, BerthError>, { repair, root, state }: Cleaning) {
    if ("version" in daemon) {
      const asked = Effect.flatMap(System, (system) => system.orphans({ repair }))
      return { found: yield* Effect.provide(asked, services), problem: null }
    }
    const alone = yield* Effect.promise(() => import("../../layers/orphans/Alone.ts"))
    return { found: yield* repair ? alone.repair({ root, state }) : alone.look({ root, state }), problem: null }
  },
  Effect.catch((error) => Effect.succeed({ found: [], problem: whyNot(error) }))
)

/** Reads everything. The daemon is asked through the services given. */
export const gather = Effect.fn("doctor.gather")(function* (
  address: string,
  services: Layer.Layer<System, BerthError>,
  cleaning: Cleaning
) {
  const found: Facts["daemon"] = yield* Effect.catch(Effect.provide(daemon(address), services), (error) =>
    Effect.succeed({ address, problem: whyNot(error) })
  )
  // By itself: where this process repairs, no other part of it may have the store open.
  const left = yield* orphans(found, services, cleaning)
  return yield* Effect.all(
    {
      platform: Effect.succeed(process.platform),
      kernel: Effect.sync(release),
      node: Effect.succeed(process.versions.node),
      sqlite: Effect.succeed(process.versions["sqlite"] ?? null),
      uid: Effect.sync(() => process.geteuid?.() ?? -1),
      status: textOf("/proc/self/status"),
      filesystems: textOf("/proc/filesystems"),
      mounts: textOf("/proc/self/mountinfo"),
      cgroup2: orNull("/sys/fs/cgroup/cgroup.controllers"),
      unified: orNull("/sys/fs/cgroup/unified/cgroup.controllers"),
      maxUserNamespaces: orNull("/proc/sys/user/max_user_namespaces"),
      libc,
      drivers: drivers(services),
      criu: firstOnPath("criu"),
      store: store(found, cleaning.root),
      orphans: Effect.succeed(left),
      daemon: Effect.succeed(found)
    },
    { concurrency: "unbounded" }
  )
})

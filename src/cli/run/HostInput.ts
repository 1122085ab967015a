/** What a specification needs to know of this machine, read only where an option asks for it. Of a daemon elsewhere nothing is known, so nothing is read. */
import { Effect, FileSystem, Option, Path } from "effect"
import type { HostDevice } from "../../spec/DeviceOption.ts"
import type { HostFacts } from "../../spec/HostFacts.ts"
import * as Capabilities from "../../spec/Capabilities.ts"
import { fromFiles } from "../../spec/UserSpec.ts"

/** Major and minor number of a device, as Linux packs them. */
export const deviceNumbers = (rdev: bigint) => ({
  major: Number(((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & 0xfffff000n)),
  minor: Number((rdev & 0xffn) | ((rdev >> 12n) & 0xffffff00n))
})

/** What the node at a path is; null for anything but a device. */
export const device = Effect.fnUntraced(function* (path: string) {
  const fs = yield* FileSystem.FileSystem
  const { gid, mode, rdev, type, uid } = yield* fs.stat(path)
  if (type !== "CharacterDevice" && type !== "BlockDevice") return null
  const found: HostDevice = {
    type: type === "CharacterDevice" ? "c" : "b",
    ...deviceNumbers(Option.getOrElse(rdev, () => 0n)),
    fileMode: mode & 0o777,
    uid: Option.getOrElse(uid, () => 0),
    gid: Option.getOrElse(gid, () => 0)
  }
  return found
})

/** Most bytes of a file of accounts. */
const largest = 16n * 1024n * 1024n

/**
 * A file inside a root filesystem. What is a link out of it is as good as missing, for the container would see another; so is what is no file, such as a FIFO
 * that nobody writes to.
 */
const inside = Effect.fnUntraced(function* (root: string, name: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const top = yield* fs.realPath(root)
  const file = yield* fs.realPath(path.join(top, name))
  if (!file.startsWith(`${top === "/" ? "" : top}/`)) return ""
  const { size, type } = yield* fs.stat(file)
  return type === "File" && size <= largest ? yield* fs.readFileString(file) : ""
})

/** The accounts of a root filesystem. */
const accounts = (root: string) => {
  const read = (name: string) => Effect.orElseSucceed(inside(root, name), () => "")
  return Effect.map(Effect.all([read("etc/passwd"), read("etc/group")]), ([passwd, group]) => fromFiles(passwd, group))
}

const boundingSet = Effect.gen(function* () {
  const fs = yield* FileSystem.FileSystem
  const status = yield* fs.readFileString("/proc/self/status")
  return Capabilities.fromMask(/^CapBnd:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "")
}).pipe(Effect.orElseSucceed((): ReadonlyArray<string> => []))

const machine = (): Pick<HostFacts, "architecture"> =>
  process.arch === "x64" || process.arch === "arm64" ? { architecture: process.arch } : {}

/** The facts that these options need. */
export const hostFacts = Effect.fnUntraced(function* (asked: {
  readonly local: boolean
  readonly root: string | null
  readonly user: boolean
  readonly capabilities: boolean
  readonly devices: ReadonlyArray<string>
}) {
  if (!asked.local) return machine()
  const held = asked.capabilities ? yield* boundingSet : []
  const users = asked.user && asked.root !== null ? yield* accounts(asked.root) : undefined
  const found = yield* Effect.forEach(asked.devices, (path) =>
    Effect.map(
      Effect.orElseSucceed(device(path), () => null),
      (device) => [path, device] as const
    )
  )
  const devices = new Map(found)
  const facts: HostFacts = {
    ...machine(),
    ...(held.length === 0 ? {} : { capabilities: held }),
    ...(users === undefined ? {} : { users }),
    device: (path) => devices.get(path) ?? undefined
  }
  return facts
})

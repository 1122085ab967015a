/**
 * The mounts of a container: those every Linux program expects, and those of the user in an order in which none hides
 * another. Kernel interfaces are read-only unless the container is privileged.
 */
import { Result } from "effect"
import type { OciIdMapping, OciMount } from "../schema/OciSpec.ts"
import { covers } from "./IdMapping.ts"
import { check } from "./MountOption.ts"
import { fail, type Problem } from "./Problem.ts"

/** What the default mounts depend on. */
export interface MountContext {
  readonly privileged: boolean
  /** A new network namespace that the container's user namespace owns; without one `/sys` cannot be mounted in it. */
  readonly ownNetwork: boolean
  /** `undefined` without a user namespace. */
  readonly gidMappings: ReadonlyArray<OciIdMapping> | undefined
}

const ttyGroup = 5
const guarded = ["nosuid", "noexec", "nodev"]

/** The mounts that every container has. */
export const defaults = ({ gidMappings, ownNetwork, privileged }: MountContext): ReadonlyArray<OciMount> => {
  const hasTtyGroup = gidMappings === undefined || covers(gidMappings, ttyGroup)
  const access = privileged ? "rw" : "ro"
  return [
    { destination: "/proc", type: "proc", source: "proc", options: guarded },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"]
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: [
        "nosuid",
        "noexec",
        "newinstance",
        "ptmxmode=0666",
        "mode=0620",
        ...(hasTtyGroup ? [`gid=${ttyGroup}`] : [])
      ]
    },
    { destination: "/dev/shm", type: "tmpfs", source: "shm", options: [...guarded, "mode=1777", "size=65536k"] },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: guarded },
    gidMappings === undefined || ownNetwork
      ? { destination: "/sys", type: "sysfs", source: "sysfs", options: [...guarded, access] }
      : { destination: "/sys", type: "bind", source: "/sys", options: ["rbind", ...guarded, access] },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: [...guarded, "relatime", access] }
  ]
}

const depth = (mount: OciMount) => mount.destination.split("/").length

/** The default mounts, each replaced by the user's at the same place, and the others of the user; parents first. */
export const make = (
  asked: ReadonlyArray<OciMount>,
  context: MountContext
): Result.Result<ReadonlyArray<OciMount>, Problem> =>
  Result.gen(function* () {
    const mounts = yield* Result.all(asked.map(check))
    const places = mounts.map((mount) => mount.destination)
    const twice = places.find((place, index) => places.indexOf(place) !== index)
    if (twice !== undefined) return yield* fail("mount", `two mounts at "${twice}"`)
    const base = defaults(context)
    const chosen = [
      ...base.map((mount) => mounts.find(({ destination }) => destination === mount.destination) ?? mount),
      ...mounts.filter((mount) => base.every(({ destination }) => destination !== mount.destination))
    ]
    return chosen.toSorted((a, b) => depth(a) - depth(b))
  })

/** The propagation that the root needs for what the mounts ask, `undefined` where the runtime's own will do. */
export const rootPropagation = (mounts: ReadonlyArray<OciMount>): string | undefined => {
  const options = new Set(mounts.flatMap((mount) => mount.options ?? []))
  if (options.has("shared") || options.has("rshared")) return "shared"
  return options.has("slave") || options.has("rslave") ? "rslave" : undefined
}

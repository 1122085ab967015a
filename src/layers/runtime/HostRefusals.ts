/**
 * What a specification asks for that a plain process of the host cannot have. What every specification of berth's own
 * says where nothing was asked for (new namespaces, the usual mounts, the filter of system calls) is let pass, and not
 * applied; anything beyond it is refused by name, for a program that relies on a wall must not run without it. Pure.
 */
import { Result } from "effect"
import type { Schema } from "effect"
import type { OciProcess, OciSpec } from "../../schema/OciSpec.ts"
import * as Capabilities from "../../spec/Capabilities.ts"
import * as HostProtection from "../../spec/HostProtection.ts"
import * as Seccomp from "../../spec/Seccomp.ts"
import * as Spec from "../../spec/Spec.ts"

const same = (a: Schema.Json | undefined, b: Schema.Json | undefined) => JSON.stringify(a) === JSON.stringify(b)

/** What specifications are that say nothing of their own. */
const usual: ReadonlyArray<OciSpec> = (["none", "host"] as const).flatMap((network) =>
  [false, true].map((privileged) => Result.getOrThrow(Spec.make({ args: ["true"], network, privileged })))
)

const usualMounts = usual.flatMap(({ mounts = [] }) => mounts.map((mount) => JSON.stringify(mount)))
const usualNamespaces = ["pid", "ipc", "uts", "mount", "cgroup", "network"]
const architectures = ["x64", "arm64"] as const

const isUsualFilter = (seccomp: Schema.JsonObject, bounding: ReadonlyArray<string>) =>
  architectures.some((architecture) =>
    (["all", "native"] as const).some((programs) => same(seccomp, Seccomp.profile(bounding, architecture, programs)))
  )

const boundingOf = (process: OciProcess | undefined) => process?.capabilities?.bounding

const some = (value: ReadonlyArray<unknown> | object | undefined): boolean =>
  value !== undefined && Object.keys(value).length > 0

/** What a process asks for in vain; `null` where it asks for nothing of the kind. */
export const ofProcess = (process: OciProcess): string | null => {
  const bounding = boundingOf(process)
  if (bounding !== undefined && Capabilities.defaults.some((name) => !bounding.includes(name))) {
    return "fewer capabilities"
  }
  if ((process.apparmorProfile ?? "unconfined") !== "unconfined") return "AppArmor profiles"
  return process.selinuxLabel === undefined ? null : "SELinux labels"
}

const ofLinux = ({ linux, process }: OciSpec): string | null => {
  if (linux === undefined) return null
  const { devices, resources, seccomp } = linux
  const wall = (linux.namespaces ?? []).find(({ path, type }) => path !== undefined || !usualNamespaces.includes(type))
  if (wall !== undefined) return `${wall.path === undefined ? "a" : "another's"} ${wall.type} namespace`
  if (some(linux.uidMappings) || some(linux.gidMappings)) return "mappings of users"
  if (some(devices)) return "devices"
  const limited = Object.entries(resources ?? {}).find(([name, value]) =>
    name === "devices"
      ? !usual.some((spec) => same(spec.linux?.resources?.devices, resources?.devices))
      : typeof value !== "object" || value === null || some(value)
  )
  if (limited !== undefined) return limited[0] === "devices" ? "rules for devices" : `limits of ${limited[0]}`
  if ((linux.maskedPaths ?? []).some((path) => !HostProtection.maskedPaths.includes(path))) return "masked paths"
  if ((linux.readonlyPaths ?? []).some((path) => !HostProtection.readonlyPaths.includes(path))) return "read-only paths"
  if (seccomp !== undefined && !isUsualFilter(seccomp, boundingOf(process) ?? [])) return "a filter of system calls"
  if (linux.mountLabel !== undefined) return "SELinux labels"
  if (linux.rootfsPropagation !== undefined) return "propagation of mounts"
  return some(linux.sysctl) ? "kernel settings" : null
}

/** What a specification asks for in vain; `null` where it can run as a plain process. Its root filesystem is `/`, or not named. */
export const ofSpec = (spec: OciSpec): string | null => {
  const { root } = spec
  if (root !== undefined && root.path !== "/" && root.path !== "rootfs") return `another root filesystem than "/"`
  if (root?.readonly === true) return "a read-only root filesystem"
  if (spec.hostname !== undefined || spec.domainname !== undefined) return "a host name of its own"
  if ((spec.mounts ?? []).some((mount) => !usualMounts.includes(JSON.stringify(mount)))) return "mounts"
  if (Object.values(spec.hooks ?? {}).some((hooks) => Array.isArray(hooks) && hooks.length > 0)) return "hooks"
  return ofLinux(spec) ?? (spec.process === undefined ? null : ofProcess(spec.process))
}

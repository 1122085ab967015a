/**
 * From options to an OCI specification, with the least privilege that ordinary programs can live with: its own
 * namespaces, a handful of capabilities, a system call filter, no new privileges, masked and read-only kernel files.
 * Pure: whatever has to be read from the machine comes in as `HostFacts`. It runs on cgroup v1 and v2 alike.
 */
import { Result } from "effect"
import type { OciDevice, OciLinux, OciNamespace, OciProcess, OciSpec } from "../schema/OciSpec.ts"
import type { Resources } from "../schema/Resources.ts"
import * as Capabilities from "./Capabilities.ts"
import * as DeviceOption from "./DeviceOption.ts"
import * as Environment from "./Environment.ts"
import type { HostFacts } from "./HostFacts.ts"
import { deviceRules, everyDevice, maskedPaths, readonlyPaths } from "./HostProtection.ts"
import * as IdMapping from "./IdMapping.ts"
import * as Mounts from "./Mounts.ts"
import * as Overlay from "./Overlay.ts"
import { fail, type Problem } from "./Problem.ts"
import { capabilitySets, checkCommand } from "./ProcessSpec.ts"
import * as ResourceOptions from "./ResourceOptions.ts"
import * as Seccomp from "./Seccomp.ts"
import * as SecurityOption from "./SecurityOption.ts"
import type { SeccompChoice, SpecOptions } from "./SpecOptions.ts"
import * as Ulimit from "./Ulimit.ts"
import { resolve as resolveUser } from "./UserSpec.ts"

/** The oldest version that has all we write: runtimes of every later one accept it. */
const ociVersion = "1.0.2"

/** The specification, or the first thing that is wrong with the options. */
export const make = (options: SpecOptions, host: HostFacts = {}): Result.Result<OciSpec, Problem> =>
  Result.gen(function* () {
    const { hostname, rootfs = { path: "rootfs" } } = options
    const overlay = rootfs.overlay === true
    if (overlay && (!rootfs.path.startsWith("/") || rootfs.path.includes("\0"))) {
      return yield* fail("rootfs", `a copy on write needs an absolute path, got "${rootfs.path}"`)
    }
    const annotations = overlay ? { ...options.annotations, [Overlay.annotation]: rootfs.path } : options.annotations
    if (hostname !== undefined && !/^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/.test(hostname)) {
      return yield* fail("hostname", `expected at most 64 letters, digits, dots and dashes, got "${hostname}"`)
    }
    const privileged = options.privileged ?? false
    const bounding = yield* Capabilities.apply({
      base: privileged ? Capabilities.all : Capabilities.defaults,
      add: options.capAdd ?? [],
      drop: options.capDrop ?? [],
      held: host.capabilities
    })
    const labels = yield* SecurityOption.resolve(options.securityOpt ?? [])
    const userNamespace = yield* mappings(options)
    if (overlay && userNamespace !== undefined) {
      // Its root may not go where bundles are.
      return yield* fail("uidMappings", "not together with a copy on write of the root filesystem")
    }
    const mounts = yield* Mounts.make(options.mounts ?? [], {
      privileged,
      ownNetwork: (options.network ?? "none") === "none",
      gidMappings: userNamespace?.gidMappings
    })
    const propagation = Mounts.rootPropagation(mounts)
    const { nodes, resources } = yield* limits(options, privileged, host)
    const seccomp = filter(options.seccomp ?? (privileged ? "unconfined" : "default"), bounding, host)
    const linux: OciLinux = {
      namespaces: namespaces(options.network ?? "none", userNamespace !== undefined),
      ...userNamespace,
      ...(nodes.length === 0 ? {} : { devices: nodes }),
      ...(options.cgroupsPath === undefined ? {} : { cgroupsPath: yield* cgroupsPath(options.cgroupsPath) }),
      resources,
      ...(privileged ? {} : { maskedPaths, readonlyPaths }),
      ...(seccomp === undefined ? {} : { seccomp }),
      ...(labels.mount === undefined ? {} : { mountLabel: labels.mount }),
      ...(propagation === undefined ? {} : { rootfsPropagation: propagation }),
      ...(options.sysctls === undefined ? {} : { sysctl: yield* sysctls(options.sysctls, options.network === "host") })
    }
    return {
      ociVersion,
      process: yield* firstProcess(options, bounding, labels, host),
      root: {
        path: overlay ? Overlay.root : rootfs.path,
        readonly: options.readOnly === true || rootfs.readonly === true
      },
      ...(hostname === undefined ? {} : { hostname }),
      mounts,
      ...(annotations === undefined ? {} : { annotations }),
      linux
    }
  })

const filter = (choice: SeccompChoice, bounding: ReadonlyArray<string>, host: HostFacts) => {
  if (choice === "unconfined") return undefined
  if (typeof choice !== "string") return choice
  return Seccomp.profile(bounding, host.architecture ?? "x64", choice === "native" ? "native" : "all")
}

const firstProcess = (
  options: SpecOptions,
  bounding: ReadonlyArray<string>,
  labels: SecurityOption.SecurityLabels,
  host: HostFacts
): Result.Result<OciProcess, Problem> =>
  Result.gen(function* () {
    yield* checkCommand(options)
    const terminal = options.terminal ?? false
    const user = yield* resolveUser(options.user ?? "0:0", host.users)
    const rlimits = yield* Result.all((options.ulimits ?? []).map(Ulimit.resolve))
    const twice = rlimits.find(({ type }, index) => rlimits.findIndex((other) => other.type === type) !== index)
    if (twice !== undefined) return yield* fail("ulimit", `${twice.type} is given twice`)
    return {
      terminal,
      ...(terminal && options.consoleSize !== undefined ? { consoleSize: options.consoleSize } : {}),
      user,
      args: options.args,
      env: yield* Environment.merge(Environment.defaults(options.hostname, terminal), options.env ?? []),
      cwd: options.cwd ?? "/",
      capabilities: capabilitySets(bounding, user.uid),
      ...(rlimits.length === 0 ? {} : { rlimits }),
      noNewPrivileges: options.noNewPrivileges ?? options.privileged !== true,
      ...(labels.apparmor === undefined ? {} : { apparmorProfile: labels.apparmor }),
      ...(labels.process === undefined ? {} : { selinuxLabel: labels.process })
    }
  })

const namespaces = (network: string, userNamespace: boolean): ReadonlyArray<OciNamespace> => [
  ...["pid", "ipc", "uts", "mount", "cgroup"].map((type) => ({ type })),
  ...(userNamespace ? [{ type: "user" }] : []),
  ...(network === "host"
    ? []
    : network === "none"
      ? [{ type: "network" }]
      : [{ type: "network", path: network.slice(3) }])
]

const mappings = (options: SpecOptions) =>
  Result.gen(function* () {
    const uidMappings = yield* IdMapping.check("uidMappings", options.uidMappings ?? [])
    const gidMappings = yield* IdMapping.check("gidMappings", options.gidMappings ?? [])
    if (uidMappings.length === 0 && gidMappings.length === 0) return undefined
    if (uidMappings.length === 0) return yield* fail("uidMappings", "needed together with gidMappings")
    if (gidMappings.length === 0) return yield* fail("gidMappings", "needed together with uidMappings")
    return { uidMappings, gidMappings }
  })

const limits = (options: SpecOptions, privileged: boolean, host: HostFacts) =>
  Result.gen(function* () {
    if (options.memorySwap !== undefined && options.memorySwap !== -1 && options.memory === undefined) {
      return yield* fail("memorySwap", "needs memory, which it includes")
    }
    const given = withoutUnlimited(yield* ResourceOptions.make(options))
    if (host.cgroupVersion === 1 && given.unified !== undefined) {
      return yield* fail("resources.unified", "this host has cgroup v1")
    }
    const devices = yield* Result.all((options.devices ?? []).map((asked) => DeviceOption.resolve(asked, host.device)))
    const base = privileged ? everyDevice : deviceRules
    const nodes: ReadonlyArray<OciDevice> = devices.map(({ node }) => node)
    const rules = [...base, ...devices.map(({ rule }) => rule), ...(given.devices ?? [])]
    const resources: Resources = { ...given, devices: rules }
    return { nodes, resources }
  })

/** A new container has no limit where nothing is said of it, and not every runtime understands -1. */
const withoutUnlimited = ({ cpu, pids, ...given }: Resources): Resources => {
  const { quota, ...rest } = cpu ?? {}
  const limited = quota === -1 ? rest : cpu
  return {
    ...given,
    ...(limited === undefined || Object.keys(limited).length === 0 ? {} : { cpu: limited }),
    ...(pids === undefined || pids.limit === -1 ? {} : { pids })
  }
}

const cgroupsPath = (path: string): Result.Result<string, Problem> =>
  /^(?:\/[^/\0]+)+$/.test(path) && !path.split("/").includes("..")
    ? Result.succeed(path)
    : fail("cgroupsPath", `must be an absolute path without "..", got "${path}"`)

const sysctls = (asked: { readonly [name: string]: string }, hostNetwork: boolean) => {
  const ipc = /^(?:kernel\.(?:msgmax|msgmnb|msgmni|sem|shmall|shmmax|shmmni|shm_rmid_forced)|fs\.mqueue\..+)$/
  const wrong = Object.keys(asked).find(
    (name) => !name.startsWith("net.") && !ipc.test(name) && name !== "kernel.domainname"
  )
  if (wrong !== undefined) return fail("sysctls", `"${wrong}" would change the host, not the container`)
  const net = hostNetwork ? Object.keys(asked).find((name) => name.startsWith("net.")) : undefined
  return net === undefined ? Result.succeed(asked) : fail("sysctls", `"${net}" needs a network of its own`)
}

/**
 * The container specification of the OCI runtime specification, versions 1.0 to 1.2: typed where berth reads or writes
 * it, opaque elsewhere. The encoded form is the type: plain read-only JSON. Keys it does not know are kept at every
 * level. It checks shapes only; whether a specification makes sense is for the runtime to say.
 */
import { Schema } from "effect"
import { Int64, OpenStruct } from "./OpenStruct.ts"
import { Resources } from "./Resources.ts"

const optional = Schema.optionalKey
const strings = Schema.Array(Schema.String)

/** The size of a terminal in characters. */
export const OciConsoleSize = OpenStruct({ height: Int64, width: Int64 })
export type OciConsoleSize = typeof OciConsoleSize.Type

/** Who a process runs as, by number. */
export const OciUser = OpenStruct({
  uid: Int64,
  gid: Int64,
  additionalGids: optional(Schema.Array(Int64)),
  umask: optional(Int64)
})
export type OciUser = typeof OciUser.Type

/** The five capability sets of a process, by full name (`CAP_KILL`). */
export const OciCapabilities = OpenStruct({
  bounding: optional(strings),
  effective: optional(strings),
  inheritable: optional(strings),
  permitted: optional(strings),
  ambient: optional(strings)
})
export type OciCapabilities = typeof OciCapabilities.Type

/** One limit of `setrlimit`, by full name (`RLIMIT_NOFILE`). */
export const OciRlimit = OpenStruct({ type: Schema.String, soft: Int64, hard: Int64 })
export type OciRlimit = typeof OciRlimit.Type

/** A process: what runs, as whom, with which rights. */
export const OciProcess = OpenStruct({
  terminal: optional(Schema.Boolean),
  consoleSize: optional(OciConsoleSize),
  user: optional(OciUser),
  args: optional(strings),
  env: optional(strings),
  cwd: Schema.String,
  capabilities: optional(OciCapabilities),
  rlimits: optional(Schema.Array(OciRlimit)),
  noNewPrivileges: optional(Schema.Boolean),
  apparmorProfile: optional(Schema.String),
  selinuxLabel: optional(Schema.String),
  oomScoreAdj: optional(Int64)
})
export type OciProcess = typeof OciProcess.Type

/** The same process with a terminal that begins with that size, where it has one. */
export const withConsoleSize = (
  process: OciProcess,
  size: { readonly width: number; readonly height: number } | null
): OciProcess =>
  process.terminal === true && size !== null
    ? { ...process, consoleSize: { height: size.height, width: size.width } }
    : process

/** The root filesystem; a relative path is relative to the bundle. */
export const OciRoot = OpenStruct({ path: Schema.String, readonly: optional(Schema.Boolean) })
export type OciRoot = typeof OciRoot.Type

/** A range of user or group ids of the container and the range of the host that stands for it. */
export const OciIdMapping = OpenStruct({ containerID: Int64, hostID: Int64, size: Int64 })
export type OciIdMapping = typeof OciIdMapping.Type

/** A mount of the container. */
export const OciMount = OpenStruct({
  destination: Schema.String,
  type: optional(Schema.String),
  source: optional(Schema.String),
  options: optional(strings),
  uidMappings: optional(Schema.Array(OciIdMapping)),
  gidMappings: optional(Schema.Array(OciIdMapping))
})
export type OciMount = typeof OciMount.Type

/** A namespace: new, or the existing one at `path`. */
export const OciNamespace = OpenStruct({ type: Schema.String, path: optional(Schema.String) })
export type OciNamespace = typeof OciNamespace.Type

/** A device node to make in the container. */
export const OciDevice = OpenStruct({
  path: Schema.String,
  type: Schema.String,
  major: optional(Int64),
  minor: optional(Int64),
  fileMode: optional(Int64),
  uid: optional(Int64),
  gid: optional(Int64)
})
export type OciDevice = typeof OciDevice.Type

/** Everything that only Linux has. */
export const OciLinux = OpenStruct({
  namespaces: optional(Schema.Array(OciNamespace)),
  uidMappings: optional(Schema.Array(OciIdMapping)),
  gidMappings: optional(Schema.Array(OciIdMapping)),
  devices: optional(Schema.Array(OciDevice)),
  cgroupsPath: optional(Schema.String),
  resources: optional(Resources),
  maskedPaths: optional(strings),
  readonlyPaths: optional(strings),
  seccomp: optional(Schema.JsonObject),
  mountLabel: optional(Schema.String),
  rootfsPropagation: optional(Schema.String),
  sysctl: optional(Schema.Record(Schema.String, Schema.String))
})
export type OciLinux = typeof OciLinux.Type

/** A whole container specification, the `config.json` of a bundle. */
export const OciSpec = OpenStruct({
  ociVersion: Schema.String,
  process: optional(OciProcess),
  root: optional(OciRoot),
  hostname: optional(Schema.String),
  domainname: optional(Schema.String),
  mounts: optional(Schema.Array(OciMount)),
  annotations: optional(Schema.Record(Schema.String, Schema.String)),
  hooks: optional(Schema.JsonObject),
  linux: optional(OciLinux)
})
export type OciSpec = typeof OciSpec.Type

/**
 * A specification that was decoded when it came in. From there it passes as it is: looking at all of it again on the way out, into the store, out of it and
 * to the shim would cost more than all of these.
 */
export const VettedSpec = Schema.declare<OciSpec>(
  (input): input is OciSpec => typeof input === "object" && input !== null,
  {
    expected: "OciSpec"
  }
)

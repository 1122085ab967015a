/**
 * Everything that `run`, `create` and `spec` may say about a container, as plain JSON: it travels over RPC as it is.
 * Every field but the arguments may be absent; `Spec.make` fills the gaps. Values are numbers and structures already:
 * the texts of the command line are read by the parsers beside this file and by `Units`.
 */
import { Schema } from "effect"
import { OciConsoleSize, OciIdMapping, OciMount } from "../schema/OciSpec.ts"
import { DeviceRequest } from "./DeviceOption.ts"
import { fields as resourceFields } from "./ResourceOptions.ts"
import { Ulimit } from "./Ulimit.ts"

const optional = Schema.optionalKey
const strings = Schema.Array(Schema.String)

/** The network of a container: an empty one of its own, the host's, or the namespace at a path. */
export type Network = "none" | "host" | `ns:/${string}`
const isNetwork = (text: string): text is Network => /^(?:none|host|ns:\/[^\0]+)$/.test(text)
export const Network = Schema.String.pipe(
  Schema.refine(isNetwork, { message: "expected a network: host, none or ns:PATH with an absolute path" })
)

/**
 * The system call filter: berth's own, the same without 32-bit programs (which starts faster and leaves the kernel's
 * compatibility entry points out of reach), none, or the content of a profile.
 */
export const SeccompChoice = Schema.Union([Schema.Literals(["default", "native", "unconfined"]), Schema.JsonObject])
export type SeccompChoice = typeof SeccompChoice.Type

export const SpecOptions = Schema.Struct({
  /** The program and its arguments; at least one. */
  args: strings,
  /** `NAME=value`, the last of a name wins; added to PATH, HOSTNAME and (with a terminal) TERM. */
  env: optional(strings),
  /** `/` by default. */
  cwd: optional(Schema.String),
  /** `USER[:GROUP]`, names or numbers; root by default. */
  user: optional(Schema.String),
  /** Also the variable HOSTNAME; the host's name where absent. */
  hostname: optional(Schema.String),
  /** `rootfs` in the bundle by default. `overlay`: a copy on write of the absolute `path`, which goes with the task. */
  rootfs: optional(
    Schema.Struct({ path: Schema.String, readonly: optional(Schema.Boolean), overlay: optional(Schema.Boolean) })
  ),
  /** Makes the root filesystem read-only, whatever `rootfs` says. */
  readOnly: optional(Schema.Boolean),
  terminal: optional(Schema.Boolean),
  consoleSize: optional(OciConsoleSize),
  /** A mount at the place of a default one replaces it. */
  mounts: optional(Schema.Array(OciMount)),
  capAdd: optional(strings),
  capDrop: optional(strings),
  /** Every capability and device, no filter, nothing masked; still its own namespaces. */
  privileged: optional(Schema.Boolean),
  /** True by default, false by default for a privileged container. */
  noNewPrivileges: optional(Schema.Boolean),
  /** `default`, or `unconfined` for a privileged container, where absent. */
  seccomp: optional(SeccompChoice),
  /** `none` by default. */
  network: optional(Network),
  devices: optional(Schema.Array(DeviceRequest)),
  ulimits: optional(Schema.Array(Ulimit)),
  annotations: optional(Schema.Record(Schema.String, Schema.String)),
  /** `label=…` and `apparmor=…`. */
  securityOpt: optional(strings),
  /** Mappings of both kinds make a user namespace. */
  uidMappings: optional(Schema.Array(OciIdMapping)),
  gidMappings: optional(Schema.Array(OciIdMapping)),
  /** Kernel parameters of the container's own namespaces. */
  sysctls: optional(Schema.Record(Schema.String, Schema.String)),
  /** The control group, as an absolute path below each hierarchy's root; the runtime chooses where absent. */
  cgroupsPath: optional(Schema.String),
  ...resourceFields
})
export type SpecOptions = typeof SpecOptions.Type

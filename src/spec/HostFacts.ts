/** What a specification needs to know of the machine it is made for. All of it may be unknown: then nothing is assumed. */
import type { HostDevice } from "./DeviceOption.ts"
import type { Architecture } from "./Seccomp.ts"
import type { UserLookup } from "./UserSpec.ts"

export interface HostFacts {
  /** Refuses early what the other version lacks. */
  readonly cgroupVersion?: 1 | 2
  /** `x64` where absent. */
  readonly architecture?: Architecture
  /** The bounding set of the runtime (`Capabilities.fromMask`): "all capabilities" means these. */
  readonly capabilities?: ReadonlyArray<string>
  /** The accounts of the container's root filesystem; without them users must be numbers. */
  readonly users?: UserLookup
  /** What the device node at a path of the host is. */
  readonly device?: (path: string) => HostDevice | undefined
}

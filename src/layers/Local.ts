/** The process host on this machine, in this process: `host/LocalHost.ts` with the real drivers, reaper, stdio and folders under it. */
import { Layer } from "effect"
import { join } from "node:path"
import * as LocalHost from "../host/LocalHost.ts"
import * as CgroupFs from "./cgroup/CgroupFs.ts"
import * as FileTaskDirectory from "./FileTaskDirectory.ts"
import * as LocalIo from "./io/LocalIo.ts"
import { Children } from "./posix/Children.ts"
import { Libc } from "./posix/Libc.ts"
import * as Reaper from "./Reaper.ts"
import * as HostSwitch from "./runtime/HostSwitch.ts"
import * as Runtimes from "./runtime/Runtimes.ts"
import type { RuntimeTable } from "./RuntimeTable.ts"

export interface LocalOptions {
  readonly state: string
  readonly runtimes: RuntimeTable
  /** Whether processes of the host may be started; by default what the state folder says each time. */
  readonly hostDriver?: boolean
}

const drivers = ({ hostDriver, runtimes, state }: LocalOptions) =>
  Runtimes.layer({
    stateDir: join(state, "runtime"),
    runtimes,
    hostDriver: () => hostDriver ?? HostSwitch.isEnabled(state)
  })

/** The drivers of this machine. */
export const runtimes = (options: LocalOptions) =>
  drivers(options).pipe(Layer.provide(Children.layer), Layer.provide(Libc.layer))

/** Takes over what an earlier host of the state folder left, then serves. */
export const layer = (options: LocalOptions) =>
  LocalHost.layer.pipe(
    Layer.provide([Reaper.layer, drivers(options)]),
    Layer.provide(CgroupFs.layer()),
    Layer.provide([LocalIo.layer, FileTaskDirectory.layer({ state: options.state })]),
    Layer.provide(Children.layer),
    Layer.provide(Libc.layer)
  )

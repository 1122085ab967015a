/**
 * The resource limits of a container, in the shape of the OCI runtime specification (`linux.resources`). One schema
 * for the specification and for updates of a running task. It says what a limit looks like, not whether the host can
 * enforce it. Keys it does not know are kept.
 */
import { Schema } from "effect"
import { Int64, OpenStruct } from "./OpenStruct.ts"

/** One rule of the device list: the last rule that matches an access decides. */
export const DeviceRule = OpenStruct({
  allow: Schema.Boolean,
  type: Schema.optionalKey(Schema.String),
  major: Schema.optionalKey(Int64),
  minor: Schema.optionalKey(Int64),
  access: Schema.optionalKey(Schema.String)
})
export type DeviceRule = typeof DeviceRule.Type

/** Memory limits in bytes; -1 is no limit. `swap` counts memory and swap together. */
export const MemoryResources = OpenStruct({
  limit: Schema.optionalKey(Int64),
  reservation: Schema.optionalKey(Int64),
  swap: Schema.optionalKey(Int64),
  kernel: Schema.optionalKey(Int64),
  kernelTCP: Schema.optionalKey(Int64),
  swappiness: Schema.optionalKey(Int64),
  disableOOMKiller: Schema.optionalKey(Schema.Boolean),
  useHierarchy: Schema.optionalKey(Schema.Boolean),
  checkBeforeUpdate: Schema.optionalKey(Schema.Boolean)
})
export type MemoryResources = typeof MemoryResources.Type

/** CPU weight, bandwidth in microseconds, and the sets of processors and memory nodes. */
export const CpuResources = OpenStruct({
  shares: Schema.optionalKey(Int64),
  quota: Schema.optionalKey(Int64),
  burst: Schema.optionalKey(Int64),
  period: Schema.optionalKey(Int64),
  realtimeRuntime: Schema.optionalKey(Int64),
  realtimePeriod: Schema.optionalKey(Int64),
  cpus: Schema.optionalKey(Schema.String),
  mems: Schema.optionalKey(Schema.String),
  idle: Schema.optionalKey(Int64)
})
export type CpuResources = typeof CpuResources.Type

/** The number of tasks; -1 is no limit. */
export const PidsResources = OpenStruct({ limit: Schema.optionalKey(Int64) })
export type PidsResources = typeof PidsResources.Type

/** Bytes or operations a second for one block device. */
export const ThrottleDevice = OpenStruct({ major: Int64, minor: Int64, rate: Int64 })
export type ThrottleDevice = typeof ThrottleDevice.Type

/** The weight of one block device. */
export const WeightDevice = OpenStruct({
  major: Int64,
  minor: Int64,
  weight: Schema.optionalKey(Int64),
  leafWeight: Schema.optionalKey(Int64)
})
export type WeightDevice = typeof WeightDevice.Type

const throttles = Schema.optionalKey(Schema.Array(ThrottleDevice))

/** Weights and throttles of block I/O. */
export const BlockIoResources = OpenStruct({
  weight: Schema.optionalKey(Int64),
  leafWeight: Schema.optionalKey(Int64),
  weightDevice: Schema.optionalKey(Schema.Array(WeightDevice)),
  throttleReadBpsDevice: throttles,
  throttleWriteBpsDevice: throttles,
  throttleReadIOPSDevice: throttles,
  throttleWriteIOPSDevice: throttles
})
export type BlockIoResources = typeof BlockIoResources.Type

/** The limit of one huge page size ("2MB"), in bytes. */
export const HugepageLimit = OpenStruct({ pageSize: Schema.String, limit: Int64 })
export type HugepageLimit = typeof HugepageLimit.Type

/** `linux.resources` of the OCI runtime specification. */
export const Resources = OpenStruct({
  devices: Schema.optionalKey(Schema.Array(DeviceRule)),
  memory: Schema.optionalKey(MemoryResources),
  cpu: Schema.optionalKey(CpuResources),
  pids: Schema.optionalKey(PidsResources),
  blockIO: Schema.optionalKey(BlockIoResources),
  hugepageLimits: Schema.optionalKey(Schema.Array(HugepageLimit)),
  network: Schema.optionalKey(Schema.JsonObject),
  rdma: Schema.optionalKey(Schema.JsonObject),
  unified: Schema.optionalKey(Schema.Record(Schema.String, Schema.String))
})
export type Resources = typeof Resources.Type

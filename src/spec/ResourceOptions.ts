/**
 * The limits of `run`, `create` and `update` as users give them, and the OCI resources they amount to. It checks what
 * is wrong on every host; whether this kernel has the controller is for the runtime to find.
 */
import { Result, Schema } from "effect"
import { Resources } from "../schema/Resources.ts"
import { cpuBandwidth } from "../schema/Units.ts"
import { fail, type Problem } from "./Problem.ts"

const optional = Schema.optionalKey

/** The fields that `SpecOptions` and an update share. Bytes for memory; `memorySwap` counts memory and swap together. */
export const fields = {
  memory: optional(Schema.Int),
  memoryReservation: optional(Schema.Int),
  memorySwap: optional(Schema.Int),
  cpus: optional(Schema.Finite),
  cpuShares: optional(Schema.Int),
  /** Microseconds of processor time in each `cpuPeriod`, which is 100000 where absent; another way to say `cpus`. */
  cpuQuota: optional(Schema.Int),
  cpuPeriod: optional(Schema.Int),
  cpusetCpus: optional(Schema.String),
  cpusetMems: optional(Schema.String),
  pidsLimit: optional(Schema.Int),
  blkioWeight: optional(Schema.Int),
  /** Anything else that OCI resources can say (throttles, huge pages, `unified`); the options above win over it. */
  resources: optional(Resources)
}

/** What an update of a running task may change. */
export const ResourceOptions = Schema.Struct(fields)
export type ResourceOptions = typeof ResourceOptions.Type

const between = (field: string, value: number | undefined, low: number, high: number) =>
  value === undefined || (value >= low && value <= high)
    ? Result.void
    : fail(field, `must be from ${low} to ${high}, got ${value}`)

const limit = (field: string, value: number | undefined) =>
  value === undefined || value === -1 || value > 0
    ? Result.void
    : fail(field, `must be positive, or -1 for no limit, got ${value}`)

const set = (field: string, value: string | undefined) =>
  value === undefined || /^\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*$/.test(value)
    ? Result.void
    : fail(field, `expected a list such as 0-2,4, got "${value}"`)

const notAbove = (field: string, value: number | undefined, other: string, bound: number | undefined) =>
  value === undefined || bound === undefined || value < 0 || bound < 0 || value <= bound
    ? Result.void
    : fail(field, `${value} is more than ${other} (${bound})`)

/** The members that are there; `undefined` where none is, so that no empty section is written. */
const section = <A extends object>(base: A | undefined, given: { readonly [K in keyof A]?: A[K] | undefined }) => {
  const present = Object.entries(given).filter(([, value]) => value !== undefined)
  return base === undefined && present.length === 0 ? undefined : { ...base, ...Object.fromEntries(present) }
}

/** The resources, with only the sections that something was said about. */
export const make = (options: ResourceOptions): Result.Result<Resources, Problem> =>
  Result.gen(function* () {
    const {
      blkioWeight,
      cpuPeriod,
      cpuQuota,
      cpuShares,
      cpus,
      cpusetCpus,
      cpusetMems,
      memory,
      memoryReservation,
      memorySwap
    } = options
    yield* limit("memory", memory)
    yield* limit("memoryReservation", memoryReservation)
    yield* limit("memorySwap", memorySwap)
    yield* notAbove("memory", memory, "memorySwap", memorySwap)
    yield* notAbove("memoryReservation", memoryReservation, "memory", memory)
    yield* between("cpus", cpus, 0.01, 1_000_000)
    yield* between("cpuShares", cpuShares, 2, 262_144)
    if (cpuQuota !== -1) yield* between("cpuQuota", cpuQuota, 1000, 2 ** 44)
    yield* between("cpuPeriod", cpuPeriod, 1000, 1_000_000)
    if (cpus !== undefined && (cpuQuota !== undefined || cpuPeriod !== undefined)) {
      return yield* fail("cpus", "says the same as cpuQuota and cpuPeriod; give one or the other")
    }
    yield* between("blkioWeight", blkioWeight, 10, 1000)
    yield* set("cpusetCpus", cpusetCpus)
    yield* set("cpusetMems", cpusetMems)
    if (options.pidsLimit !== 0) yield* limit("pidsLimit", options.pidsLimit)
    const raw = options.resources
    const bandwidth = cpus === undefined ? {} : cpuBandwidth(cpus)
    const pidsLimit = options.pidsLimit === 0 ? -1 : options.pidsLimit
    const sections = {
      memory: section(raw?.memory, { limit: memory, reservation: memoryReservation, swap: memorySwap }),
      cpu: section(raw?.cpu, {
        quota: cpuQuota,
        period: cpuPeriod,
        ...bandwidth,
        shares: cpuShares,
        cpus: cpusetCpus,
        mems: cpusetMems
      }),
      pids: section(raw?.pids, { limit: pidsLimit }),
      blockIO: section(raw?.blockIO, { weight: blkioWeight })
    }
    return { ...raw, ...Object.fromEntries(Object.entries(sections).filter(([, value]) => value !== undefined)) }
  })

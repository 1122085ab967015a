/** The limits of a container for people: one line each, in the units of the options that set them. */
import { Schema } from "effect"
import type { UpdateResult } from "../../schema/Requests.ts"
import type { ThrottleDevice } from "../../schema/Resources.ts"
import { Size } from "../../schema/Units.ts"
import * as Table from "./Table.ts"

type Row = readonly [limit: string, value: string]

const none = "no limit"
const size = (bytes: number) => (bytes === -1 ? none : Schema.encodeSync(Size)(bytes))
const count = (value: number) => (value === -1 ? none : `${value}`)
const cpus = (quota: number, period: number) => (quota === -1 ? none : `${Math.round((quota / period) * 1000) / 1000}`)

const row = <A>(limit: string, value: A | undefined, show: (value: A) => string): ReadonlyArray<Row> =>
  value === undefined ? [] : [[limit, show(value)]]

const devices = (
  limit: string,
  rates: ReadonlyArray<ThrottleDevice> | undefined,
  show: (rate: number) => string
): ReadonlyArray<Row> =>
  (rates ?? []).map(({ major, minor, rate }) => [`${limit} ${major}:${minor}`, show(rate)] as const)

/** What there is, in the order of the options; then the annotations. */
export const render = ({ annotations, resources }: UpdateResult, colors: boolean): string => {
  const { blockIO, cpu, hugepageLimits, memory, pids } = resources
  const rows: ReadonlyArray<Row> = [
    ...row("memory", memory?.limit, size),
    ...row("memory-reservation", memory?.reservation, size),
    ...row("memory-swap", memory?.swap, size),
    ...row("cpus", cpu?.quota, (quota) => cpus(quota, cpu?.period ?? 100_000)),
    ...row("cpu-shares", cpu?.shares, count),
    ...row("cpu-quota", cpu?.quota, count),
    ...row("cpu-period", cpu?.period, count),
    ...row("cpuset-cpus", cpu?.cpus, (list) => list),
    ...row("cpuset-mems", cpu?.mems, (list) => list),
    ...row("pids-limit", pids?.limit, count),
    ...row("blkio-weight", blockIO?.weight, count),
    ...devices("device-read-bps", blockIO?.throttleReadBpsDevice, size),
    ...devices("device-write-bps", blockIO?.throttleWriteBpsDevice, size),
    ...devices("device-read-iops", blockIO?.throttleReadIOPSDevice, count),
    ...devices("device-write-iops", blockIO?.throttleWriteIOPSDevice, count),
    ...(hugepageLimits ?? []).map(({ limit, pageSize }) => [`hugetlb-limit ${pageSize}`, size(limit)] as const),
    ...Object.entries(annotations).map(([key, value]) => [`annotation ${key}`, value] as const)
  ]
  return Table.render(["LIMIT", "VALUE"], rows, colors)
}

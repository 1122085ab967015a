/**
 * The limits that can change while a container lives, as a flat table: one entry for each value that the kernel keeps. It knows the two forms, nothing of
 * what makes sense (`ResourceUpdate.ts`) and nothing of where the kernel keeps it.
 */
import type { Resources, ThrottleDevice } from "../schema/Resources.ts"

/** Single values, by the section and the member of OCI resources. */
export const scalars = {
  memory: ["limit", "reservation", "swap"],
  cpu: ["shares", "quota", "period", "burst", "idle", "realtimeRuntime", "realtimePeriod", "cpus", "mems"],
  pids: ["limit"],
  blockIO: ["weight"]
} as const

const sections = ["memory", "cpu", "pids", "blockIO"] as const

/** One rate for each device: bytes or operations a second, 0 is no limit. */
export const throttles = [
  "throttleReadBpsDevice",
  "throttleWriteBpsDevice",
  "throttleReadIOPSDevice",
  "throttleWriteIOPSDevice"
] as const
export type Throttle = (typeof throttles)[number]

/** Keys are `memory.limit`, `blockIO.throttleReadBpsDevice 8:0`, `hugepageLimits 2MB`. */
export type Limits = ReadonlyMap<string, number | string>

export const deviceKey = (throttle: Throttle, device: string) => `blockIO.${throttle} ${device}`
const pagePrefix = "hugepageLimits "
export const hugepageKey = (pageSize: string) => `${pagePrefix}${pageSize}`

/** What stands for no limit where a table has no entry; `undefined` where every group has the entry. */
export const unlimited = (key: string): number | undefined =>
  key.startsWith("blockIO.throttle") ? 0 : key.startsWith(pagePrefix) ? -1 : undefined

const isValue = (value: unknown): value is number | string => typeof value === "number" || typeof value === "string"

/** The entries that something is said about. Members that cannot change are left out. */
export const flatten = (resources: Resources): Limits => {
  const limits = new Map<string, number | string>()
  for (const section of sections) {
    const given: { readonly [member: string]: unknown } = { ...resources[section] }
    for (const member of scalars[section]) {
      const value = given[member]
      if (isValue(value)) limits.set(`${section}.${member}`, value)
    }
  }
  for (const throttle of throttles) {
    for (const { major, minor, rate } of resources.blockIO?.[throttle] ?? []) {
      limits.set(deviceKey(throttle, `${major}:${minor}`), rate)
    }
  }
  for (const { limit, pageSize } of resources.hugepageLimits ?? []) limits.set(hugepageKey(pageSize), limit)
  return limits
}

const devicesOf = (limits: Limits, throttle: Throttle): ReadonlyArray<ThrottleDevice> => {
  const prefix = `blockIO.${throttle} `
  return Array.from(limits).flatMap(([key, rate]) => {
    if (!key.startsWith(prefix) || typeof rate !== "number") return []
    const [major = 0, minor = 0] = key.slice(prefix.length).split(":").map(Number)
    return [{ major, minor, rate }]
  })
}

/** The same as OCI resources, every entry of them. */
export const unflattenAll = (limits: Limits): Resources => {
  const section = (name: keyof typeof scalars) =>
    Object.fromEntries(
      scalars[name].flatMap((member) => {
        const value = limits.get(`${name}.${member}`)
        return value === undefined ? [] : [[member, value] as const]
      })
    )
  const rates = throttles.flatMap((throttle) => {
    const devices = devicesOf(limits, throttle)
    return devices.length === 0 ? [] : [[throttle, devices] as const]
  })
  const pages = Array.from(limits).flatMap(([key, limit]) =>
    key.startsWith(pagePrefix) && typeof limit === "number" ? [{ pageSize: key.slice(pagePrefix.length), limit }] : []
  )
  const made = {
    memory: section("memory"),
    cpu: section("cpu"),
    pids: section("pids"),
    blockIO: { ...section("blockIO"), ...Object.fromEntries(rates) }
  }
  return {
    ...Object.fromEntries(Object.entries(made).filter(([, members]) => Object.keys(members).length > 0)),
    ...(pages.length === 0 ? {} : { hugepageLimits: pages })
  }
}

/** The same as OCI resources; devices and page sizes without a limit are left out. */
export const unflatten = (limits: Limits): Resources =>
  unflattenAll(new Map(Array.from(limits).filter(([key, value]) => value !== unlimited(key))))

/** The changes that take changes back, given what was before them. */
export const undo = (changes: Resources, before: Resources): Resources => {
  const held = flatten(before)
  return unflattenAll(
    new Map(
      Array.from(flatten(changes).keys()).flatMap((key) => {
        const value = held.get(key) ?? unlimited(key)
        return value === undefined ? [] : [[key, value] as const]
      })
    )
  )
}

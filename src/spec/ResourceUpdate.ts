/**
 * What an update of a container's limits amounts to, given those that it has: which values are set, and what its specification then says. It refuses what
 * cannot work on any host, and what no update can change. Pure; whether this kernel agrees is for the driver to find.
 */
import { Result } from "effect"
import type { Resources } from "../schema/Resources.ts"
import * as Limits from "./Limits.ts"
import { fail, type Problem } from "./Problem.ts"

export interface Plan {
  /** What to set: what was asked for, with the other half of values that the kernel takes in pairs. */
  readonly changes: Resources
  /** The container's resources afterwards. */
  readonly resources: Resources
}

const known: { readonly [section: string]: ReadonlyArray<string> } = {
  memory: Limits.scalars.memory,
  cpu: Limits.scalars.cpu,
  pids: Limits.scalars.pids,
  blockIO: [...Limits.scalars.blockIO, ...Limits.throttles]
}

const isKnown = (section: string, member: string) => known[section]?.includes(member) ?? false

/** Names what cannot be changed, or is not known. */
const fixed = (asked: Resources): string | undefined => {
  for (const [section, members] of Object.entries(asked)) {
    if (section === "hugepageLimits") continue
    if (known[section] === undefined) return section
    const other = Object.keys(members ?? {}).find((member) => !isKnown(section, member))
    if (other !== undefined) return `${section}.${other}`
  }
  return undefined
}

/** The kernel's own bounds; -1 is no limit where `open`. */
const bounds: { readonly [key: string]: readonly [low: number, high: number, open: boolean] } = {
  "memory.limit": [1, 2 ** 63 - 1, true],
  "memory.reservation": [1, 2 ** 63 - 1, true],
  "memory.swap": [1, 2 ** 63 - 1, true],
  "cpu.shares": [2, 262_144, false],
  "cpu.quota": [1000, 2 ** 44, true],
  "cpu.period": [1000, 1_000_000, false],
  "cpu.burst": [0, 2 ** 44, false],
  "cpu.idle": [0, 1, false],
  "cpu.realtimeRuntime": [0, 2 ** 44, true],
  "cpu.realtimePeriod": [1, 2 ** 44, false],
  "pids.limit": [1, 2 ** 22, true],
  "blockIO.weight": [10, 1000, false]
}

const within = (key: string, value: number | string) => {
  if (typeof value === "string") {
    return /^\d+(?:-\d+)?(?:,\d+(?:-\d+)?)*$/.test(value)
      ? Result.void
      : fail(key, `expected a list such as 0-2,4, got "${value}"`)
  }
  const huge = key.startsWith("hugepageLimits ")
  const [low, high, open] = bounds[key] ?? [0, 2 ** 63 - 1, huge]
  if ((open && value === -1) || (value >= low && value <= high)) return Result.void
  return fail(key, `must be from ${low} to ${high}${open ? ", or -1 for no limit" : ""}, got ${value}`)
}

/** Where the request touches neither, what is there is not its business. */
const fits = (asked: Limits.Limits, limits: Limits.Limits, key: string, other: string) => {
  if (!asked.has(key) && !asked.has(other)) return Result.void
  const [value, bound] = [limits.get(key), limits.get(other)]
  if (typeof value !== "number" || typeof bound !== "number" || bound === -1) return Result.void
  return value === -1
    ? fail(key, `cannot be without limit while ${other} is ${bound}; change both at once`)
    : value <= bound
      ? Result.void
      : fail(key, `${value} is more than ${other} (${bound}); change both at once`)
}

/** Values of which the kernel, on one of its versions, takes both or none. */
const pairs = [
  ["memory.limit", "memory.swap"],
  ["cpu.quota", "cpu.period"],
  ["cpu.realtimeRuntime", "cpu.realtimePeriod"]
] as const

/** The kernel's own, where nothing is said. */
const usualPeriod = 100_000

const isDevice = (rates: ReadonlyArray<{ readonly major: number; readonly minor: number }>) =>
  rates.every(({ major, minor }) => major >= 0 && major < 4096 && minor >= 0 && minor < 2 ** 20)

/** The plan, or the first thing that is wrong. A `pids.limit` of 0 is none, as everywhere. */
export const plan = (current: Resources, request: Resources): Result.Result<Plan, Problem> =>
  Result.gen(function* () {
    const other = fixed(request)
    if (other !== undefined) return yield* fail(other, "cannot be changed while the task exists")
    const asked = new Map(Limits.flatten(request))
    if (asked.get("pids.limit") === 0) asked.set("pids.limit", -1)
    for (const [key, value] of asked) yield* within(key, value)
    for (const throttle of Limits.throttles) {
      if (!isDevice(request.blockIO?.[throttle] ?? [])) {
        return yield* fail(`blockIO.${throttle}`, "there is no device of such numbers")
      }
    }
    // 0 is how specifications say nothing of a value that cannot be 0.
    const before = Array.from(Limits.flatten(current)).filter(
      ([key, value]) => value !== 0 || (bounds[key]?.[0] ?? 0) === 0
    )
    const merged = new Map([...before, ...asked])
    if (asked.has("memory.swap") && asked.get("memory.swap") !== -1 && merged.get("memory.limit") === undefined) {
      return yield* fail("memory.swap", "needs memory.limit, which it includes")
    }
    yield* fits(asked, merged, "memory.limit", "memory.swap")
    // A reservation is a wish, and -1 takes it back.
    if (merged.get("memory.reservation") !== -1) yield* fits(asked, merged, "memory.reservation", "memory.limit")
    if (asked.has("cpu.quota") && !merged.has("cpu.period")) merged.set("cpu.period", usualPeriod)
    yield* fits(asked, merged, "cpu.burst", "cpu.quota")
    if (merged.get("cpu.realtimeRuntime") !== -1)
      yield* fits(asked, merged, "cpu.realtimeRuntime", "cpu.realtimePeriod")
    const changes = new Map(asked)
    for (const pair of pairs) {
      if (!pair.some((key) => asked.has(key))) continue
      for (const key of pair) {
        const value = merged.get(key)
        if (value !== undefined) changes.set(key, value)
      }
    }
    return { changes: Limits.unflattenAll(changes), resources: store(current, merged) }
  })

/**
 * What no update touches stays: device rules, and whatever else a specification may say. Where there is no limit it says nothing, as not every runtime
 * understands another form of that.
 */
const store = (current: Resources, merged: Limits.Limits): Resources => {
  const limited = Limits.unflatten(new Map(Array.from(merged).filter(([, value]) => value !== -1)))
  const section = <K extends "memory" | "cpu" | "pids" | "blockIO">(name: K) => {
    const kept = Object.entries(current[name] ?? {}).filter(([member]) => !isKnown(name, member))
    const members = { ...Object.fromEntries(kept), ...limited[name] }
    return Object.keys(members).length === 0 ? undefined : members
  }
  const sections = {
    memory: section("memory"),
    cpu: section("cpu"),
    pids: section("pids"),
    blockIO: section("blockIO"),
    hugepageLimits: limited.hugepageLimits
  }
  const others = Object.entries(current).filter(([name]) => !(name in sections))
  return {
    ...Object.fromEntries(others),
    ...Object.fromEntries(Object.entries(sections).filter(([, value]) => value !== undefined))
  }
}

/** The options of limits that `run`, `create`, `spec` and `update` share beyond the plain numbers, and what they say in OCI terms. */
import { Effect, Option, Schema } from "effect"
import { Flag } from "effect/cli"
import type { Command } from "effect/cli"
import type { HugepageLimit, Resources, ThrottleDevice } from "../../schema/Resources.ts"
import { Size } from "../../schema/Units.ts"
import type { Throttle } from "../../spec/Limits.ts"
import { misuse } from "../output/Usage.ts"
import * as Params from "../Params.ts"
import { device } from "./HostInput.ts"

const whole = (name: string, description: string) =>
  Flag.Int(name).pipe(Flag.withMetavar("<N>"), Flag.withDescription(description), Flag.optional)

const rates = (name: string, what: string) =>
  Params.texts(name, "<DEV:RATE>", `Most ${what} of a device (/dev/sda or 8:0) a second, 0 for no limit`)

export const resourceFlags = {
  cpuPeriod: whole("cpu-period", "The time, in microseconds, that --cpu-quota is for; default 100000"),
  cpuQuota: whole("cpu-quota", "Most processor time in each period, in microseconds, -1 for no limit"),
  deviceReadBps: rates("device-read-bps", "bytes read"),
  deviceWriteBps: rates("device-write-bps", "bytes written"),
  deviceReadIops: rates("device-read-iops", "reads"),
  deviceWriteIops: rates("device-write-iops", "writes"),
  hugetlbLimit: Params.texts("hugetlb-limit", "<PAGESIZE:SIZE>", "Most memory in huge pages, such as 2MB:64m")
} as const
export type ResourceFlags = Command.Command.Config.Infer<typeof resourceFlags>

const decodeSize = Schema.decodeOption(Size)

const numbers = Effect.fnUntraced(function* (name: string) {
  const [, major, minor] = /^(\d{1,4}):(\d{1,7})$/.exec(name) ?? []
  if (major !== undefined && minor !== undefined) return { major: Number(major), minor: Number(minor) }
  const found = yield* Effect.orElseSucceed(device(name), () => null)
  return found?.type === "b" ? { major: found.major, minor: found.minor } : null
})

const throttle = (command: string, option: string, bytes: boolean) =>
  Effect.fnUntraced(function* (text: string) {
    const at = text.lastIndexOf(":")
    const [name, rate] = [text.slice(0, at), text.slice(at + 1)]
    const amount = bytes || /^\d+$/.test(rate) ? decodeSize(rate) : Option.none()
    if (at < 1 || Option.isNone(amount)) {
      const example = bytes ? "/dev/sda:10m" : "/dev/sda:100"
      return yield* misuse(command, option, `expected DEVICE:RATE such as ${example}, got "${text}"`)
    }
    const found = yield* numbers(name)
    if (found === null) return yield* misuse(command, option, `"${name}" is not a block device of this machine`)
    const limit: ThrottleDevice = { ...found, rate: amount.value }
    return limit
  })

const hugepages = (command: string) =>
  Effect.fnUntraced(function* (text: string) {
    const [pageSize = "", size = ""] = text.split(":")
    const limit = decodeSize(size)
    if (!/^\d+[KMG]B$/.test(pageSize) || Option.isNone(limit)) {
      return yield* misuse(command, "--hugetlb-limit", `expected PAGESIZE:SIZE such as 2MB:64m, got "${text}"`)
    }
    const made: HugepageLimit = { pageSize, limit: limit.value }
    return made
  })

/** Limits of devices and huge pages; none where no option speaks of them. Device names are those of this machine. */
export const deviceLimits = Effect.fn("cli.deviceLimits")(function* (command: string, flags: ResourceFlags) {
  const asked: ReadonlyArray<readonly [Throttle, string, boolean, ReadonlyArray<string>]> = [
    ["throttleReadBpsDevice", "--device-read-bps", true, flags.deviceReadBps],
    ["throttleWriteBpsDevice", "--device-write-bps", true, flags.deviceWriteBps],
    ["throttleReadIOPSDevice", "--device-read-iops", false, flags.deviceReadIops],
    ["throttleWriteIOPSDevice", "--device-write-iops", false, flags.deviceWriteIops]
  ]
  const blockIO: { [T in Throttle]?: ReadonlyArray<ThrottleDevice> } = {}
  for (const [name, option, bytes, texts] of asked) {
    if (texts.length > 0) blockIO[name] = yield* Effect.forEach(texts, throttle(command, option, bytes))
  }
  const hugepageLimits = yield* Effect.forEach(flags.hugetlbLimit, hugepages(command))
  const resources: Resources = {
    ...(Object.keys(blockIO).length === 0 ? {} : { blockIO }),
    ...(hugepageLimits.length === 0 ? {} : { hugepageLimits })
  }
  return Object.keys(resources).length === 0 ? Option.none<Resources>() : Option.some(resources)
})

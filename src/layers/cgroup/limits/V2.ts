/**
 * Where version 2 of cgroups keeps each limit, in the terms of OCI: shares are a weight there, memory and swap are counted apart, and some files hold several
 * values. A conversion that loses digits is the same as the runtimes'.
 */
import { readFileSync } from "node:fs"
import { deviceKey, hugepageKey, throttles } from "../../../spec/Limits.ts"
import type { Throttle } from "../../../spec/Limits.ts"
import type { Knob } from "./Knob.ts"
import * as Knobs from "./Knob.ts"

const number = (text: string): number => (text === "max" ? -1 : Number(text))
const word = (value: number | string): string => (value === -1 ? "max" : `${value}`)

/** 2 to 262144 shares as a weight of 1 to 10000. */
export const toWeight = (shares: number): number => 1 + Math.floor(((shares - 2) * 9999) / 262_142)
const toShares = (weight: number): number => 2 + Math.ceil(((weight - 1) * 262_142) / 9999)

const simple: { readonly [key: string]: string } = {
  "memory.limit": "memory.max",
  "memory.reservation": "memory.low",
  "cpu.burst": "cpu.max.burst",
  "cpu.idle": "cpu.idle",
  "cpu.cpus": "cpuset.cpus",
  "cpu.mems": "cpuset.mems",
  "pids.limit": "pids.max"
}

const rates: { readonly [T in Throttle]: string } = {
  throttleReadBpsDevice: "rbps",
  throttleWriteBpsDevice: "wbps",
  throttleReadIOPSDevice: "riops",
  throttleWriteIOPSDevice: "wiops"
}

/** `io.max`: lines of `8:0 rbps=1048576 wbps=max …`. */
const ioMax = (file: string) =>
  new Map(
    readFileSync(file, "utf8")
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => {
        const [device = "", ...pairs] = line.split(" ")
        return [device, new Map(pairs.map((pair) => [pair.split("=")[0], number(pair.split("=")[1] ?? "")]))] as const
      })
  )

/** The knob of a key; null where there is none in this group. */
export const knob = (folder: string, key: string): Knob | null => {
  const file = (...names: ReadonlyArray<string>) => Knobs.existing(folder, names)
  const [name = "", part = ""] = key.split(" ")
  if (name === "hugepageLimits") return plain(file(`hugetlb.${part}.max`))
  const rate = Object.entries(rates).find(([known]) => name === `blockIO.${known}`)?.[1]
  if (rate !== undefined) {
    const path = file("io.max")
    return path === null
      ? null
      : {
          read: () => Math.max(0, ioMax(path).get(part)?.get(rate) ?? 0),
          write: (value) => Knobs.put(path, `${part} ${rate}=${value === 0 ? "max" : value}`)
        }
  }
  switch (key) {
    case "cpu.shares": {
      const path = file("cpu.weight")
      return path === null
        ? null
        : {
            read: () => toShares(number(Knobs.get(path))),
            write: (value) => Knobs.put(path, `${toWeight(Number(value))}`)
          }
    }
    case "cpu.quota":
    case "cpu.period": {
      const path = file("cpu.max")
      const at = key === "cpu.quota" ? 0 : 1
      const values = () => (path === null ? [] : Knobs.get(path).split(" "))
      return path === null
        ? null
        : {
            read: () => number(values()[at] ?? "max"),
            write: (value) => Knobs.put(path, values().with(at, word(value)).join(" "))
          }
    }
    // Here swap is counted by itself; OCI counts it together with memory.
    case "memory.swap": {
      const [swap, memory] = [file("memory.swap.max"), file("memory.max")]
      if (swap === null || memory === null) return null
      const limit = () => number(Knobs.get(memory))
      return {
        read: () => {
          const own = number(Knobs.get(swap))
          return own === -1 || limit() === -1 ? -1 : own + limit()
        },
        write: (value) => Knobs.put(swap, value === -1 ? "max" : `${Math.max(0, Number(value) - Math.max(0, limit()))}`)
      }
    }
    case "blockIO.weight": {
      const path = file("io.bfq.weight", "io.weight")
      return path === null
        ? null
        : {
            read: () => Number(/^default (\d+)/m.exec(Knobs.get(path))?.[1] ?? Knobs.get(path)),
            write: (value) => Knobs.put(path, `${value}`)
          }
    }
    default: {
      const own = simple[key]
      return own === undefined ? null : plain(file(own), key === "cpu.cpus" || key === "cpu.mems")
    }
  }
}

const plain = (file: string | null, text = false): Knob | null =>
  file === null
    ? null
    : {
        read: () => (text ? Knobs.get(file) : number(Knobs.get(file))),
        write: (value) => Knobs.put(file, word(value))
      }

const always = [...Object.keys(simple), "memory.swap", "cpu.shares", "cpu.quota", "cpu.period", "blockIO.weight"]

/** Every key that has a value in this group. */
export const keys = (folder: string): ReadonlyArray<string> => {
  const io = Knobs.existing(folder, ["io.max"])
  const devices = io === null ? [] : Array.from(ioMax(io).keys())
  return [
    ...always,
    ...throttles.flatMap((throttle) => devices.map((device) => deviceKey(throttle, device))),
    ...Knobs.pageSizes(folder, /^hugetlb\.([^.]+)\.max$/).map(hugepageKey)
  ]
}

/**
 * The limits of one container as the kernel holds them, read and written in the files of its groups. A write either leaves every value as wanted or says which
 * one the kernel refused; putting the rest back is the caller's decision.
 */
import type { Limits } from "../../../spec/Limits.ts"
import { codeOf } from "../../posix/Libc.ts"
import * as Hierarchies from "../Hierarchies.ts"
import * as Reader from "../Reader.ts"
import type { Knob } from "./Knob.ts"
import * as V1 from "./V1.ts"
import * as V2 from "./V2.ts"

export interface Where {
  /** A folder that stands for `/`, with `proc` and `sys` in it. */
  readonly root: string
  /** Of init, alive; `null` where it is not known. */
  readonly pid: number | null
  readonly cgroupsPath: string | null
}

/** Folders of groups, as this process opens them. */
interface Groups {
  /** Of version 1, by controller. */
  readonly v1: ReadonlyMap<string, string>
  readonly v2: string | null
}

/** What the kernel did not take. */
export interface Refusal {
  readonly key: string
  readonly code: string
}

export interface LimitFiles {
  /** Every limit that there is. Throws where the groups are gone. */
  readonly read: () => Limits
  /** Whether this kernel keeps such a value for the container. */
  readonly has: (key: string) => boolean
  /** Brings what differs to these values; the first refusal, or null. */
  readonly settle: (wanted: Limits) => Refusal | null
}

/** The kernel writes sets of processors in its own way: `0,1` becomes `0-1`. */
const members = (list: string): string =>
  list
    .split(",")
    .flatMap((range) => {
      const [first = "", last = first] = range.split("-")
      const from = Number(first)
      return first === "" ? [] : Array.from({ length: Number(last) - from + 1 }, (_, index) => from + index)
    })
    .toSorted((a, b) => a - b)
    .join(",")

const same = (a: number | string | undefined, b: number | string): boolean =>
  a === b || (typeof a === "string" && typeof b === "string" && members(a) === members(b))

/** Values that bound each other are taken in one order when they grow and in the other when they shrink. */
const rounds = 3

const attempt = (write: () => void): string | null => {
  try {
    write()
    return null
  } catch (error) {
    return codeOf(error)
  }
}

const make = ({ v1, v2 }: Groups): LimitFiles => {
  const knob = (key: string): Knob | null => V1.knob(v1, key) ?? (v2 === null ? null : V2.knob(v2, key))
  const read = () => {
    const all = new Set([...V1.keys(v1), ...(v2 === null ? [] : V2.keys(v2))])
    return new Map(
      Array.from(all).flatMap((key) => {
        const found = knob(key)
        return found === null ? [] : [[key, found.read()] as const]
      })
    )
  }
  const round = (wanted: Limits) => {
    let [writes, refusal]: [number, Refusal | null] = [0, null]
    for (const [key, value] of wanted) {
      const found = knob(key)
      if (found !== null && same(found.read(), value)) continue
      const code = found === null ? "ENOENT" : attempt(() => found.write(value))
      if (code === null) writes++
      else refusal ??= { key, code }
    }
    return { writes, refusal }
  }
  return {
    read,
    has: (key) => knob(key) !== null,
    settle: (wanted) => {
      let last = round(wanted)
      for (let left = rounds; left > 0 && last.refusal !== null; left--) last = round(wanted)
      return last.refusal
    }
  }
}

/** The files of a container; null where it has no group of its own. */
export const open = ({ cgroupsPath, pid, root }: Where): LimitFiles | null => {
  // A path that the specification names counts alone: init may have moved itself below it, or its pid be somebody else's.
  const named = cgroupsPath?.startsWith("/") ?? false
  const located = Hierarchies.make(Reader.make(root)).locate({ cgroupsPath, pid: named ? null : pid })
  if (located === null) return null
  return make({
    v1: new Map(Object.entries(located.v1).map(([name, folder]) => [name, root + folder])),
    v2: located.v2 === null ? null : root + located.v2
  })
}

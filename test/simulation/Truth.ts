/** What really happened to each pretended process, from the machine's own notes, against what berth says of it. */
import { DateTime } from "effect"
import type { HostEvent } from "../../src/schema/Host.ts"
import type { ProcessRef } from "../../src/schema/Ids.ts"
import { processKey } from "../../src/schema/Ids.ts"
import type { Exit } from "../../src/schema/Process.ts"

interface Lived {
  readonly key: string
  readonly pid: number
  readonly status: number
  readonly endedAt: number
}

export interface Truth {
  /** What is wrong with an exit as it is told to users; null where it is true, or owns that it does not know. */
  readonly check: (ref: ProcessRef, exit: Exit) => string | null
  /** What is wrong with what a host tells: what one host has told, no later one may tell otherwise. */
  readonly hear: (event: HostEvent) => string | null
}

const ended = /^(\d+) (\S+) (?:init|exec) (\d+) ends (\d+)$/
const born = /^\d+ (\S+) (?:init|exec) (\d+): /

export const make = (lines: ReadonlyArray<string>): Truth => {
  const lives: Array<Lived> = []
  const births = new Map<string, number>()
  const told = new Map<string, Exit>()
  let read = 0

  const catchUp = () => {
    for (const line of lines.slice(read)) {
      const [, at, key = "", pid, status] = ended.exec(line) ?? []
      if (at !== undefined) lives.push({ key, pid: Number(pid), status: Number(status), endedAt: Number(at) })
      const [, whose, which] = born.exec(line) ?? []
      if (whose !== undefined) births.set(`${whose} ${which}`, (births.get(`${whose} ${which}`) ?? 0) + 1)
    }
    read = lines.length
  }

  const hearOne = (ref: ProcessRef, exit: Exit): string | null => {
    const process = `${processKey(ref)} ${exit.pid}`
    const key = `${process} ${births.get(process) ?? 0}`
    const before = told.get(key)
    if (before === undefined) {
      told.set(key, exit)
      return null
    }
    const same =
      before.exitStatus === exit.exitStatus &&
      before.source === exit.source &&
      DateTime.Equivalence(before.exitedAt, exit.exitedAt)
    return same
      ? null
      : `${processKey(ref)} (${exit.pid}) ended with ${exit.exitStatus} (${exit.source}), and was told ${before.exitStatus} (${before.source}) before`
  }

  return {
    check: (ref, { exitedAt, exitStatus, pid, source }) => {
      catchUp()
      if (source === "unknown") return exitStatus === 255 ? null : `its status is unknown, and ${exitStatus}`
      const key = processKey(ref)
      const own = lives.filter((life) => life.key === key && life.pid === pid)
      if (own.length === 0) return "that process has not ended"
      if (own.some((life) => life.status === exitStatus && life.endedAt === exitedAt.epochMilliseconds)) return null
      // What the kernel has kept is the status, and not when that was.
      const since = exitedAt.epochMilliseconds
      if (source === "kernel" && own.some((life) => life.status === exitStatus && life.endedAt <= since)) return null
      if (source === "inferred" && own.some((life) => life.status === exitStatus)) return null
      return `it ended with ${own.map((life) => `${life.status} at ${life.endedAt}`).join(" or ")}`
    },
    hear: (event) => {
      catchUp()
      if (event._tag === "Oom" || event._tag === "Changed") return null
      if (event._tag === "Exited") return hearOne(event.ref, event.exit)
      for (const { exit, ref } of event.records) {
        const wrong = exit === null ? null : hearOne(ref, exit)
        if (wrong !== null) return wrong
      }
      return null
    }
  }
}

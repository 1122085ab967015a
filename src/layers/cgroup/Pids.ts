/** The processes of a container: the list, and how many there may be. */
import type { PidsStats } from "../../schema/Stats.ts"
import * as Bytes from "./Bytes.ts"
import type { Located } from "./Hierarchies.ts"
import { finite } from "./Parse.ts"
import type { Reader } from "./Reader.ts"

const folderOf = ({ v1, v2 }: Located): string | null => v1.pids ?? v2

/** Reads number and limit of tasks now. */
export const make = (reader: Reader, located: Located): (() => PidsStats) => {
  const folder = folderOf(located)
  if (folder === null) return () => ({ current: null, limit: null })
  const current = reader.file(`${folder}/pids.current`)
  const limit = reader.file(`${folder}/pids.max`)
  return () => ({ current: current.read(Bytes.amount), limit: finite(limit.read(Bytes.amount)) })
}

/** `null` once the group is gone. A process of a pid namespace that we cannot see into shows as 0. */
export const list = (reader: Reader, located: Located): ReadonlyArray<number> | null => {
  const start = located.v1.pids ?? located.v1.freezer ?? located.v2 ?? Object.values(located.v1)[0]
  if (start === undefined || !reader.exists(start)) return null
  const found = new Set<number>()
  const visit = (folder: string) => {
    // A threaded group refuses; its threads are listed above it.
    for (const line of (reader.all(`${folder}/cgroup.procs`) ?? "").split("\n")) {
      if (Number(line) > 0) found.add(Number(line))
    }
    for (const name of reader.folders(folder)) visit(`${folder}/${name}`)
  }
  visit(start)
  return Array.from(found).sort((a, b) => a - b)
}

/** Whose network a container has. Known by the namespace of its init, remembered so that another process that gets the pid is not taken for it. */
import type { NetworkStats } from "../../schema/Stats.ts"
import { network } from "./Devices.ts"
import type { Reader } from "./Reader.ts"

/** A name and sixteen numbers of at most twenty digits. */
const longestLine = 512

const namespaceOf = (reader: Reader, pid: number | "self") => reader.link(`/proc/${pid}/ns/net`)

/** The interfaces now; `null` where the network is ours too, or the process has ended. */
export type Interfaces = () => ReadonlyArray<NetworkStats> | null

export const none: Interfaces = () => null

export const make = (reader: Reader, pid: number | null): Interfaces => {
  const namespace = pid === null ? null : namespaceOf(reader, pid)
  if (namespace === null || namespace === namespaceOf(reader, "self")) return none
  return () => {
    const text = reader.all(`/proc/${pid}/net/dev`, longestLine)
    return text !== null && pid !== null && namespaceOf(reader, pid) === namespace ? network(text) : null
  }
}

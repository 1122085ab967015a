/**
 * Whose network a container has: that in which its init was when the container was found. Remembered, so that another process that gets the pid is not taken
 * for it.
 */
import type { NetworkStats } from "../../schema/Stats.ts"
import * as Bytes from "./Bytes.ts"
import type { Reader } from "./Reader.ts"

/** A name and sixteen numbers of at most twenty digits. */
const longestLine = 512

const colon = 58

/** Of /proc/PID/net/dev: two lines of heading, then a name and sixteen counters for each interface. */
export const parse: Bytes.Parse<ReadonlyArray<NetworkStats>> = (bytes, length) => {
  const found: Array<NetworkStats> = []
  Bytes.eachLine(bytes, length, (start, end) => {
    // A name may have a colon in it, a number has none.
    const middle = bytes.lastIndexOf(colon, end - 1)
    if (middle < start) return
    let at = middle + 1
    const counter = () => {
      const from = Bytes.nextWord(bytes, at, end)
      at = Bytes.wordEnd(bytes, from, end)
      return Bytes.number(bytes, from, at) ?? 0
    }
    const [rxBytes, rxPackets, rxErrors, rxDropped] = [counter(), counter(), counter(), counter()]
    for (let others = 4; others > 0; others--) counter()
    const [txBytes, txPackets, txErrors, txDropped] = [counter(), counter(), counter(), counter()]
    const name = bytes.toString("utf8", start, middle)
    found.push({ interface: name, rxBytes, rxPackets, rxErrors, rxDropped, txBytes, txPackets, txErrors, txDropped })
  })
  return found
}

const namespaceOf = (reader: Reader, pid: number | "self") => reader.link(`/proc/${pid}/ns/net`)

export interface Network {
  /** The interfaces now; `null` where the network is ours too, or init has ended. */
  readonly interfaces: () => ReadonlyArray<NetworkStats> | null
  /** Init has ended: its network is let go of. */
  readonly end: () => void
}

export const none: Network = { interfaces: () => null, end: () => {} }

/** An open file of a network keeps that network alive, so its end must be told. */
export const make = (reader: Reader, pid: number | null): Network => {
  const namespace = pid === null ? null : namespaceOf(reader, pid)
  if (pid === null || namespace === null || namespace === namespaceOf(reader, "self")) return none
  const file = reader.pages(`/proc/${pid}/net/dev`, longestLine)
  let [opened, ended] = [0, false]
  return {
    interfaces: () => {
      const found = ended ? null : file.read(parse)
      if (found === null || file.opened() === opened) return found
      // Whose network was opened just now is told by the process that the pid is now.
      if (namespaceOf(reader, pid) === namespace) opened = file.opened()
      else file.close()
      return file.opened() === opened ? found : null
    },
    end: () => {
      ended = true
      file.close()
    }
  }
}

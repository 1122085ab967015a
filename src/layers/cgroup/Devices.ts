/** What a group does to things outside it: block devices, huge pages, the network; and how long it waits for them. */
import type { HugetlbStats, IoStats, NetworkStats, Pressure, Stall } from "../../schema/Stats.ts"
import type { Located } from "./Hierarchies.ts"
import { amount, finite, rows, word } from "./Parse.ts"
import type { Reader } from "./Reader.ts"

/** Of `blkio.…`: lines of device, operation and value. */
const operations = (text: string | null): ReadonlyMap<string, { readonly read: number; readonly write: number }> => {
  const devices = new Map<string, { read: number; write: number }>()
  for (const [device = "", operation, value] of rows(text ?? "")) {
    if (!/^\d+:\d+$/.test(device)) continue
    const entry = devices.get(device) ?? { read: 0, write: 0 }
    if (operation === "Read") entry.read = amount(value ?? null) ?? 0
    if (operation === "Write") entry.write = amount(value ?? null) ?? 0
    devices.set(device, entry)
  }
  return devices
}

const device = (name: string) => {
  const [major, minor] = name.split(":").map(Number)
  return { major: major ?? 0, minor: minor ?? 0 }
}

const ioV1 = (reader: Reader, folder: string): ReadonlyArray<IoStats> | null => {
  const text = (file: string) =>
    reader.once(`${folder}/blkio.throttle.${file}_recursive`) ?? reader.once(`${folder}/blkio.throttle.${file}`)
  const bytesText = text("io_service_bytes")
  if (bytesText === null) return null
  const bytes = operations(bytesText)
  // A group that has moved no byte has done no operation.
  const counts = bytes.size === 0 ? bytes : operations(text("io_serviced"))
  return Array.from(bytes, ([name, { read, write }]) => ({
    ...device(name),
    readBytes: read,
    writeBytes: write,
    readOps: counts.get(name)?.read ?? 0,
    writeOps: counts.get(name)?.write ?? 0
  }))
}

const ioV2 = (text: string | null): ReadonlyArray<IoStats> | null =>
  text === null
    ? null
    : rows(text).flatMap(([name = "", ...words]) =>
        /^\d+:\d+$/.test(name) && words.length > 0
          ? [
              {
                ...device(name),
                readBytes: word(words, "rbytes") ?? 0,
                writeBytes: word(words, "wbytes") ?? 0,
                readOps: word(words, "rios") ?? 0,
                writeOps: word(words, "wios") ?? 0
              }
            ]
          : []
      )

/** By block device; `null` without the controller. */
export const io = (reader: Reader, { v1, v2 }: Located): ReadonlyArray<IoStats> | null => {
  if (v1.blkio !== undefined) return ioV1(reader, v1.blkio)
  return v2 === null ? null : ioV2(reader.once(`${v2}/io.stat`))
}

/** By page size, of those given; `null` without the controller. */
export const hugetlb = (
  reader: Reader,
  { v1, v2 }: Located,
  sizes: ReadonlyArray<string>
): ReadonlyArray<HugetlbStats> | null => {
  const folder = v1.hugetlb ?? v2
  if (folder === null) return null
  const names =
    v1.hugetlb === undefined
      ? { usage: "current", limit: "max", peak: null }
      : { usage: "usage_in_bytes", limit: "limit_in_bytes", peak: "max_usage_in_bytes" }
  const entries = sizes.flatMap((pageSize) => {
    const value = (name: string) => amount(reader.once(`${folder}/hugetlb.${pageSize}.${name}`))
    const usage = value(names.usage)
    const peak = names.peak === null ? null : value(names.peak)
    return usage === null ? [] : [{ pageSize, usage, limit: finite(value(names.limit)), peak }]
  })
  return v1.hugetlb === undefined && entries.length < sizes.length ? null : entries
}

const [space, zero, nine] = [32, 48, 57]

/** The decimal numbers of a line from a place on, as many as there are of sixteen. */
const numbers = (text: string, from: number): ReadonlyArray<number> => {
  const found: Array<number> = []
  let at = from
  while (found.length < 16) {
    while (text.charCodeAt(at) === space) at++
    const start = at
    for (let code = text.charCodeAt(at); code >= zero && code <= nine; code = text.charCodeAt(at)) at++
    if (at === start) break
    found.push(Number(text.slice(start, at)))
  }
  return found
}

/** Of /proc/PID/net/dev. Two lines of heading, then a name and sixteen counters for each interface. */
export const network = (text: string): ReadonlyArray<NetworkStats> => {
  const found: Array<NetworkStats> = []
  for (let start = 0, end = 0; start < text.length; start = end + 1) {
    const newline = text.indexOf("\n", start)
    end = newline === -1 ? text.length : newline
    const colon = text.lastIndexOf(":", end)
    // A name may have a colon in it, a number has none.
    if (colon < start) continue
    const values = numbers(text, colon + 1)
    const at = (index: number) => values[index] ?? 0
    found.push({
      interface: text.slice(start, colon).trim(),
      rxBytes: at(0),
      rxPackets: at(1),
      rxErrors: at(2),
      rxDropped: at(3),
      txBytes: at(8),
      txPackets: at(9),
      txErrors: at(10),
      txDropped: at(11)
    })
  }
  return found
}

/** The stall of a kind, of a line `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`. */
const stall = (text: string, kind: string): Stall | null => {
  const start = text.startsWith(`${kind} `) ? 0 : text.indexOf(`\n${kind} `) + 1
  if (start === 0 && !text.startsWith(`${kind} `)) return null
  const value = (key: string) => {
    const at = text.indexOf(key, start)
    return at === -1 ? 0 : Number.parseFloat(text.slice(at + key.length, at + key.length + 20)) || 0
  }
  return { avg10: value("avg10="), avg60: value("avg60="), avg300: value("avg300="), total: value("total=") * 1000 }
}

/** Of a `.pressure` file; the kernel's total is in microseconds. */
export const pressure = (text: string | null): Pressure | null => {
  const some = text === null ? null : stall(text, "some")
  return text === null || some === null ? null : { some, full: stall(text, "full") }
}

/** Of a group; each `null` on a kernel that does not account for it. Version 1 has none. */
export const pressures = (reader: Reader, { v2 }: Located) => {
  const of = (resource: string) => (v2 === null ? null : pressure(reader.once(`${v2}/${resource}.pressure`)))
  return { cpu: of("cpu"), memory: of("memory"), io: of("io") }
}

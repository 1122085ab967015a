/** What a group does to things outside it: block devices and huge pages; and how long it waits for them. */
import type { HugetlbStats, IoStats, Pressure, Stall } from "../../schema/Stats.ts"
import * as Bytes from "./Bytes.ts"
import type { Located } from "./Hierarchies.ts"
import { finite } from "./Parse.ts"
import type { File, Reader } from "./Reader.ts"

const ascii = (text: string) => Buffer.from(text, "latin1")

const colon = 58

/** A line that begins with `major:minor`. */
interface DeviceLine {
  readonly major: number
  readonly minor: number
  /** Where the words after the device are. */
  readonly from: number
  readonly end: number
}

/** The lines of a file that are of a device. */
const deviceLines: Bytes.Parse<ReadonlyArray<DeviceLine>> = (bytes, length) => {
  const found: Array<DeviceLine> = []
  Bytes.eachLine(bytes, length, (start, end) => {
    const from = Bytes.wordEnd(bytes, start, end)
    let middle = start
    while (middle < from && bytes[middle] !== colon) middle++
    if (middle === from) return
    const major = Bytes.number(bytes, start, middle)
    const minor = Bytes.number(bytes, middle + 1, from)
    if (major !== null && minor !== null) found.push({ major, minor, from, end })
  })
  return found
}

interface Operations {
  readonly major: number
  readonly minor: number
  read: number
  write: number
}

const [readWord, writeWord] = [ascii("Read"), ascii("Write")]

/** Of `blkio.…`: lines of device, operation and value. */
const operations: Bytes.Parse<ReadonlyMap<string, Operations>> = (bytes, length) => {
  const devices = new Map<string, Operations>()
  for (const { end, from, major, minor } of deviceLines(bytes, length)) {
    const name = `${major}:${minor}`
    const entry = devices.get(name) ?? { major, minor, read: 0, write: 0 }
    const word = Bytes.nextWord(bytes, from, end)
    const wordEnd = Bytes.wordEnd(bytes, word, end)
    const start = Bytes.nextWord(bytes, wordEnd, end)
    const value = () => Bytes.number(bytes, start, Bytes.wordEnd(bytes, start, end)) ?? 0
    if (Bytes.isWord(bytes, word, wordEnd, readWord)) entry.read = value()
    if (Bytes.isWord(bytes, word, wordEnd, writeWord)) entry.write = value()
    devices.set(name, entry)
  }
  return devices
}

const ioV1 = (reader: Reader, folder: string) => {
  // Of the group and those below it; kernels before 4.4 tell of the group alone.
  const files = (name: string) =>
    ["_recursive", ""].map((suffix) => reader.file(`${folder}/blkio.throttle.${name}${suffix}`))
  const first = (found: ReadonlyArray<File>) => {
    for (const file of found) {
      const read = file.read(operations)
      if (read !== null) return read
    }
    return null
  }
  const [bytesFiles, countFiles] = [files("io_service_bytes"), files("io_serviced")]
  return (): ReadonlyArray<IoStats> | null => {
    const bytes = first(bytesFiles)
    if (bytes === null) return null
    // A group that has moved no byte has done no operation.
    const counts = bytes.size === 0 ? bytes : first(countFiles)
    return Array.from(bytes, ([name, { major, minor, read, write }]) => ({
      major,
      minor,
      readBytes: read,
      writeBytes: write,
      readOps: counts?.get(name)?.read ?? 0,
      writeOps: counts?.get(name)?.write ?? 0
    }))
  }
}

const [rbytes, wbytes, rios, wios] = [ascii("rbytes"), ascii("wbytes"), ascii("rios"), ascii("wios")]

const ioStat: Bytes.Parse<ReadonlyArray<IoStats>> = (bytes, length) =>
  deviceLines(bytes, length).flatMap(({ end, from, major, minor }) => {
    // A device that the group has not touched may stand there alone.
    if (Bytes.nextWord(bytes, from, end) === end) return []
    const value = (key: Buffer) => {
      const start = Bytes.valueOf(bytes, from, end, key)
      return start === -1 ? 0 : (Bytes.number(bytes, start, Bytes.wordEnd(bytes, start, end)) ?? 0)
    }
    return [
      {
        major,
        minor,
        readBytes: value(rbytes),
        writeBytes: value(wbytes),
        readOps: value(rios),
        writeOps: value(wios)
      }
    ]
  })

/** Reads them now, by block device; `null` without the controller. */
export const io = (reader: Reader, { v1, v2 }: Located): (() => ReadonlyArray<IoStats> | null) => {
  if (v1.blkio !== undefined) return ioV1(reader, v1.blkio)
  if (v2 === null) return () => null
  const stat = reader.file(`${v2}/io.stat`)
  return () => stat.read(ioStat)
}

/** Reads them now, by page size, of those given; `null` without the controller. */
export const hugetlb = (
  reader: Reader,
  { v1, v2 }: Located
): ((sizes: ReadonlyArray<string>) => ReadonlyArray<HugetlbStats> | null) => {
  const folder = v1.hugetlb ?? v2
  if (folder === null) return () => null
  const isV1 = v1.hugetlb !== undefined
  const filesOf = (pageSize: string) => {
    const file = (name: string) => reader.file(`${folder}/hugetlb.${pageSize}.${name}`)
    return isV1
      ? { usage: file("usage_in_bytes"), limit: file("limit_in_bytes"), peak: file("max_usage_in_bytes") }
      : { usage: file("current"), limit: file("max"), peak: null }
  }
  const known = new Map<string, ReturnType<typeof filesOf>>()
  return (sizes) => {
    const entries: Array<HugetlbStats> = []
    for (const pageSize of sizes) {
      const files = known.get(pageSize) ?? filesOf(pageSize)
      known.set(pageSize, files)
      const usage = files.usage.read(Bytes.amount)
      if (usage === null) continue
      const limit = finite(files.limit.read(Bytes.amount))
      entries.push({ pageSize, usage, limit, peak: files.peak?.read(Bytes.amount) ?? null })
    }
    return !isV1 && entries.length < sizes.length ? null : entries
  }
}

const [avg10, avg60, avg300, total] = [ascii("avg10"), ascii("avg60"), ascii("avg300"), ascii("total")]
const [some, full] = [ascii("some"), ascii("full")]

/** Of a `.pressure` file: lines of `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`, of which the total is in microseconds. */
const pressure: Bytes.Parse<Pressure | null> = (bytes, length) => {
  const found: { some: Stall | null; full: Stall | null } = { some: null, full: null }
  Bytes.eachLine(bytes, length, (start, end) => {
    const from = Bytes.wordEnd(bytes, start, end)
    const value = (key: Buffer, parse: (bytes: Buffer, from: number, end: number) => number | null) => {
      const at = Bytes.valueOf(bytes, from, end, key)
      return at === -1 ? 0 : (parse(bytes, at, Bytes.wordEnd(bytes, at, end)) ?? 0)
    }
    const stall = () => ({
      avg10: value(avg10, Bytes.decimal),
      avg60: value(avg60, Bytes.decimal),
      avg300: value(avg300, Bytes.decimal),
      total: value(total, Bytes.number) * 1000
    })
    if (Bytes.isWord(bytes, start, from, some)) found.some = stall()
    else if (Bytes.isWord(bytes, start, from, full)) found.full = stall()
  })
  return found.some === null ? null : { some: found.some, full: found.full }
}

/** Reads them now; each `null` on a kernel that does not account for it. Version 1 has none. */
export const pressures = (reader: Reader, { v2 }: Located) => {
  const file = (resource: string) => (v2 === null ? null : reader.file(`${v2}/${resource}.pressure`))
  const [cpu, memory, io] = [file("cpu"), file("memory"), file("io")]
  return () => ({
    cpu: cpu?.read(pressure) ?? null,
    memory: memory?.read(pressure) ?? null,
    io: io?.read(pressure) ?? null
  })
}

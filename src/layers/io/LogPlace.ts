/**
 * Places in a structured log, and how much output lies behind them. A host that takes a log over asks so how much of what it finds was logged by the one
 * before, which may have died within a write.
 */
import { closeSync, readSync } from "node:fs"
import * as LineSplitter from "./LineSplitter.ts"
import * as LogFiles from "./LogFiles.ts"
import { sizeOf } from "./LogFormat.ts"
import type { OutputStream } from "./LogFormat.ts"

/** Between two records. */
export interface LogPlace {
  /** The number of the file. */
  readonly file: number
  readonly offset: number
}

/** Bytes of output. */
export type Amounts = Readonly<Record<OutputStream, number>>

const blockSize = 64 * 1024

const counter = () => {
  const counts = { stdout: 0, stderr: 0 }
  const add = (lines: ReadonlyArray<string>) => {
    for (const line of lines) {
      const found = sizeOf(line)
      if (found !== null) counts[found.stream] += found.bytes
    }
  }
  return { counts, add }
}

/** The output in a piece of a log, whole records. */
export const amountsIn = (records: Buffer): Amounts => {
  const { add, counts } = counter()
  add(LineSplitter.make().add(records))
  return counts
}

/** The output behind a place. A last record that lacks nothing but its newline counts, for the next writer gives it one. */
export const amountsBehind = (path: string, place: LogPlace): Amounts => {
  const { add, counts } = counter()
  const block = Buffer.allocUnsafe(blockSize)
  let file = LogFiles.at(path, place.file)
  while (file !== null) {
    const { fd, number } = file
    try {
      const splitter = LineSplitter.make()
      for (let position = number === place.file ? place.offset : 0; ;) {
        const count = readSync(fd, block, 0, block.length, position)
        if (count === 0) break
        add(splitter.add(block.subarray(0, count)))
        position += count
      }
      add([splitter.rest()])
      file = LogFiles.next(path, file)
    } finally {
      closeSync(fd)
    }
  }
  return counts
}

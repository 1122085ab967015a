/**
 * A file between a pipe and a log, with what was taken from the pipe: the kernel moves output from the one to the other in one piece, so that no death of ours
 * loses or repeats any of it. A header says of which part of the stream the file holds, and how much of the stream was in the log at a place of it; what
 * the log holds behind that place says the rest. The header is small enough for the kernel to write it in one piece too.
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, writeSync } from "node:fs"
import { codeOf } from "../posix/Libc.ts"
import type { LogPlace } from "./LogPlace.ts"

const { O_CREAT, O_NOFOLLOW, O_RDWR } = constants
const numbers = 4
/** Where the output begins. */
export const headerBytes = 8 * numbers

/** Positions are bytes of the stream from the first spool of the process on. */
export interface Header {
  /** The position of the first byte in the file. */
  readonly start: number
  /** So much of the stream was in the log before `place`. */
  readonly logged: number
  readonly place: LogPlace
}

export interface Spool {
  readonly fd: number
  start: number
  /** Bytes of output in it. */
  size: number
}

/** Notes how much is logged. */
export const note = ({ fd, start }: Spool, logged: number, place: LogPlace): void => {
  const header = Buffer.alloc(headerBytes)
  for (const [index, number] of [start, logged, place.file, place.offset].entries()) {
    header.writeBigUInt64LE(BigInt(number), index * 8)
  }
  writeSync(fd, header, 0, headerBytes, 0)
}

/** Empties it. A death in between leaves what holds nothing that is not logged. */
export const reset = (spool: Spool, position: number, logged: number, place: LogPlace): void => {
  ftruncateSync(spool.fd, headerBytes)
  spool.start = position
  spool.size = 0
  note(spool, logged, place)
}

/** A new one, or one to begin anew. */
export const create = (path: string, position: number, logged: number, place: LogPlace): Spool => {
  const spool = { fd: openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600), start: position, size: 0 }
  try {
    reset(spool, position, logged, place)
    return spool
  } catch (error) {
    closeSync(spool.fd)
    throw error
  }
}

/** The one that the host before has left; `null` where it left none, or one in which nothing was put yet. */
export const find = (path: string): { readonly spool: Spool; readonly header: Header } | null => {
  let fd: number
  try {
    fd = openSync(path, O_RDWR | O_NOFOLLOW)
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null
    throw error
  }
  try {
    const read = Buffer.alloc(headerBytes)
    const { size } = fstatSync(fd)
    if (size < headerBytes || readSync(fd, read, 0, headerBytes, 0) < headerBytes) {
      closeSync(fd)
      return null
    }
    const [start = 0, logged = 0, file = 0, offset = 0] = Array.from({ length: numbers }, (_, index) =>
      Number(read.readBigUInt64LE(index * 8))
    )
    return { spool: { fd, start, size: size - headerBytes }, header: { start, logged, place: { file, offset } } }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

/**
 * The files of one structured log. It is written to `init.log`; with a limit a full one becomes `init.log.0`, the next `init.log.1`, and the oldest are
 * removed. Every file but the first begins with its number, so that a reader knows which comes next though names change under it, and whether any was removed
 * before it got there. At no moment is there no `init.log`, and no output is written to a file once the next is there.
 */
import {
  closeSync,
  constants,
  fstatSync,
  linkSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  statSync,
  writeSync
} from "node:fs"
import { basename, dirname, join } from "node:path"
import type { LogLimits } from "../../schema/LogTarget.ts"
import { codeOf } from "../posix/Libc.ts"

const { O_APPEND, O_CREAT, O_NOFOLLOW, O_RDONLY, O_RDWR, O_TRUNC } = constants

/** A file of a log, open. */
export interface LogFile {
  readonly fd: number
  /** 0 for the first. */
  readonly number: number
  readonly inode: number
}

const header = /^\{"file":(\d{1,15})\}\n/

/** The number of a file. */
export const numberOf = (fd: number): number => {
  const start = Buffer.alloc(32)
  const length = readSync(fd, start, 0, start.length, 0)
  return Number(header.exec(start.toString("latin1", 0, length))?.[1] ?? 0)
}

const unlessGone = <A>(run: () => A): A | null => {
  try {
    return run()
  } catch (error) {
    if (codeOf(error) === "ENOENT") return null
    throw error
  }
}

const describe = (fd: number): LogFile => {
  try {
    return { fd, number: numberOf(fd), inode: fstatSync(fd).ino }
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

const open = (path: string): LogFile | null => {
  const fd = unlessGone(() => openSync(path, O_RDONLY | O_NOFOLLOW))
  return fd === null ? null : describe(fd)
}

/** The numbers of the files that are full, the oldest first. */
export const full = (path: string): ReadonlyArray<number> => {
  const prefix = `${basename(path)}.`
  return (unlessGone(() => readdirSync(dirname(path))) ?? [])
    .filter((name) => name.startsWith(prefix) && /^\d{1,15}$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .toSorted((a, b) => a - b)
}

/** The file that is written to; `null` where there is no log. */
export const newest = (path: string): LogFile | null => open(path)

/** The first there is with a number above `number`; `null` where that is the end. */
const firstAbove = (path: string, number: number): LogFile | null => {
  // First: whatever becomes full from now on is found below.
  const last = open(path)
  if (last === null) return null
  for (const each of full(path)) {
    if (each <= number || each >= last.number) continue
    const found = open(`${path}.${each}`)
    if (found === null) continue
    closeSync(last.fd)
    return found
  }
  if (last.number > number) return last
  closeSync(last.fd)
  return null
}

export const oldest = (path: string): LogFile | null => firstAbove(path, -1)

/** The first there is with this number or a later one; `null` where there is none. */
export const at = (path: string, number: number): LogFile | null => firstAbove(path, number - 1)

/** The file behind another; `null` where that is written to, or the log is gone. */
export const next = (path: string, file: LogFile): LogFile | null => {
  const last = unlessGone(() => statSync(path))
  return last === null || last.ino === file.inode ? null : firstAbove(path, file.number)
}

/** The file before another; `null` where that is the oldest. */
export const previous = (path: string, number: number): LogFile | null => {
  for (const each of full(path).toReversed()) {
    const found = each < number ? open(`${path}.${each}`) : null
    if (found !== null) return found
  }
  return null
}

/** Goes on to the next file. Returns it open for appending, with its size; `fd` is left open, and no file is removed yet. Throws where that cannot be done. */
export const rotate = (
  path: string,
  fd: number
): { readonly fd: number; readonly size: number; readonly number: number } => {
  const number = numberOf(fd)
  const { ino } = fstatSync(fd)
  if (statSync(path).ino !== ino) throw new Error("the log has lost its name")
  const kept = `${path}.${number}`
  const fresh = `${path}.next`
  const line = `{"file":${number + 1}}\n`
  const opened = openSync(fresh, O_RDWR | O_APPEND | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o640)
  try {
    writeSync(opened, line)
    // Another name, and then one file in place of another: a writer that dies in between leaves a log that the next can go on with.
    rmSync(kept, { force: true })
    linkSync(path, kept)
    renameSync(fresh, path)
  } catch (error) {
    closeSync(opened)
    throw error
  }
  return { fd: opened, size: line.length, number: number + 1 }
}

/** Removes the files that are too old where the newest has this number. */
export const prune = (path: string, newest: number, { maxFiles }: LogLimits): void => {
  for (const each of full(path)) if (each <= newest - maxFiles) rmSync(`${path}.${each}`, { force: true })
}

/** Removes the files of a log. */
export const remove = (path: string): void => {
  for (const each of full(path)) rmSync(join(dirname(path), `${basename(path)}.${each}`), { force: true })
  for (const each of [path, `${path}.next`]) rmSync(each, { force: true })
}

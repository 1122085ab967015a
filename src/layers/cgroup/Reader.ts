/**
 * Reads the small files of cgroupfs and /proc, which the kernel answers from memory, so synchronously. Three system calls a file; the buffer is shared,
 * for a sample of many containers is hundreds of files.
 */
import { closeSync, fstatSync, openSync, readSync, readdirSync, readlinkSync, statSync } from "node:fs"
import { codeOf } from "../posix/Libc.ts"
import type * as Bytes from "./Bytes.ts"
import type { KeptFile } from "./KeptFiles.ts"

/** What may stay open from one read to the next. It may be dropped without a word. */
type Kept = Pick<KeptFile, "opened" | "close">

export interface File extends Kept {
  /** What the parser makes of it now; `null` where there is no such file, or the kernel has nothing to say in it. */
  readonly read: <A>(parse: Bytes.Parse<A>) => A | null
}

export interface Folder extends Kept {
  /** Names of the folders within it now; of none where it does not exist. */
  readonly folders: () => ReadonlyArray<string>
}

/** Every path is absolute and taken below the reader's root. `null`: there is no such file, or the kernel has nothing to say in it. */
export interface Reader {
  /** A file that the kernel writes in one piece, to be read again and again. */
  readonly file: (path: string) => File
  /** The same for one of many records, which come a page at a time. Where none exceeds `longest` bytes, the last page is known by the room that it leaves. */
  readonly pages: (path: string, longest: number) => File
  /** A folder of cgroupfs, to be looked at again and again. */
  readonly folder: (path: string) => Folder
  /** A file that the kernel writes in one piece: values, statistics. */
  readonly once: (path: string) => string | null
  /** A file of many records, which come a page at a time. */
  readonly all: (path: string) => string | null
  readonly link: (path: string) => string | null
  /** Names of the folders within a folder; of none where it does not exist. */
  readonly folders: (path: string) => ReadonlyArray<string>
  readonly exists: (path: string) => boolean
}

/** Gone, or not offered by this kernel in this place (threaded groups, groups without the controller). */
const absent = new Set(["ENOENT", "ENOTDIR", "ENODEV", "ESRCH", "EOPNOTSUPP", "ENOTSUP", "EINVAL"])

const orNull = <A>(read: () => A): A | null => {
  try {
    return read()
  } catch (error) {
    if (absent.has(codeOf(error))) return null
    throw error
  }
}

const page = 4096

/** Of a file that is opened for each read. */
const unkept = (path: string): KeptFile => {
  let opened = 0
  return {
    use: (work) => {
      opened++
      const fd = openSync(path, "r")
      try {
        return work(fd)
      } finally {
        closeSync(fd)
      }
    },
    opened: () => opened,
    close: () => {}
  }
}

/** On kernel file systems the links of a folder are two and one for each within: most groups have none. */
const isEmpty = (stats: { readonly nlink: number }) => stats.nlink === 2

const foldersIn = (path: string): ReadonlyArray<string> =>
  readdirSync(path, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)

/** `keep`: how to keep files open, where one may. */
export const make = (root: string, keep: (path: string) => KeptFile = unkept): Reader => {
  let buffer = Buffer.allocUnsafeSlow(32_768)

  /** Fills the buffer until a read gives nothing, or there are less than `enough` bytes, and gives their number. */
  const fill = (fd: number, enough: number): number => {
    let length = 0
    for (;;) {
      const read = readSync(fd, buffer, length, buffer.length - length, length)
      length += read
      if (length === buffer.length) {
        const larger = Buffer.allocUnsafeSlow(buffer.length * 2)
        buffer.copy(larger)
        buffer = larger
      } else if (read === 0 || length < enough) return length
    }
  }
  const fillOnce = (fd: number) => fill(fd, Number.POSITIVE_INFINITY)

  const fileOf = (path: string, fillFrom: (fd: number) => number): File => {
    const { close, opened, use } = keep(path)
    const read = () => use(fillFrom)
    return {
      close,
      opened,
      read: (parse) => {
        const length = orNull(read)
        return length === null ? null : parse(buffer, length)
      }
    }
  }

  const text = (path: string, fillFrom: (fd: number) => number) =>
    orNull(() => {
      const length = unkept(root + path).use(fillFrom)
      return buffer.toString("utf8", 0, length)
    })

  return {
    file: (path) => fileOf(root + path, fillOnce),
    pages: (path, longest) => fileOf(root + path, (fd) => fill(fd, page - longest)),
    folder: (path) => {
      const whole = root + path
      const { close, opened, use } = keep(whole)
      const names = () => (isEmpty(use((fd) => fstatSync(fd))) ? [] : foldersIn(whole))
      return { close, opened, folders: () => orNull(names) ?? [] }
    },
    once: (path) => text(path, fillOnce),
    all: (path) => text(path, (fd) => fill(fd, 0)),
    link: (path) => orNull(() => readlinkSync(root + path)),
    folders: (path) =>
      orNull(() => {
        const stats = statSync(root + path, { throwIfNoEntry: false })
        return stats === undefined || isEmpty(stats) ? [] : foldersIn(root + path)
      }) ?? [],
    exists: (path) => statSync(root + path, { throwIfNoEntry: false }) !== undefined
  }
}

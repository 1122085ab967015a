/**
 * Reads the small files of cgroupfs and /proc, which the kernel answers from memory, so synchronously. Three system calls a file; the buffer is shared,
 * for a sample of many containers is hundreds of files.
 */
import { closeSync, openSync, readSync, readdirSync, readlinkSync, statSync } from "node:fs"
import { codeOf } from "../posix/Libc.ts"
import type { Read } from "./KeptFiles.ts"

/** Every path is absolute and taken below the reader's root. `null`: there is no such file, or the kernel has nothing to say in it. */
export interface Reader {
  /** A file that the kernel writes in one piece: values, statistics. */
  readonly once: (path: string) => string | null
  /** A file of many records, which come a page at a time. Where none exceeds `longest` bytes, the last page is known by the room that it leaves. */
  readonly all: (path: string, longest?: number) => string | null
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

/** `kept`: how to read a file of which one may keep the descriptor, below `/sys`, where there is such a way. */
export const make = (root: string, kept: Read | null = null): Reader => {
  let buffer = Buffer.allocUnsafeSlow(32_768)

  /** Fills the buffer until a read gives nothing, or there are less than `enough` bytes, and gives their number. */
  const fill = (fd: number, enough: number): number => {
    let length = 0
    for (;;) {
      const read = readSync(fd, buffer, length, buffer.length - length, null)
      length += read
      if (length === buffer.length) {
        const larger = Buffer.allocUnsafeSlow(buffer.length * 2)
        buffer.copy(larger)
        buffer = larger
      } else if (read === 0 || length < enough) return length
    }
  }

  const text = (path: string, enough: number) =>
    orNull(() => {
      const fd = openSync(root + path, "r")
      try {
        return buffer.toString("utf8", 0, fill(fd, enough))
      } finally {
        closeSync(fd)
      }
    })

  return {
    once: (path) =>
      kept !== null && path.startsWith("/sys/")
        ? orNull(() => {
            const length = kept(root + path, buffer)
            // The kernel's own words there are ASCII.
            return length < buffer.length ? buffer.toString("latin1", 0, length) : text(path, Number.POSITIVE_INFINITY)
          })
        : text(path, Number.POSITIVE_INFINITY),
    all: (path, longest = page) => text(path, page - longest),
    link: (path) => orNull(() => readlinkSync(root + path)),
    folders: (path) =>
      orNull(() => {
        const stats = statSync(root + path, { throwIfNoEntry: false })
        // On kernel file systems the links of a folder are two and one for each within: most groups have none.
        if (stats === undefined || stats.nlink === 2) return []
        const entries = readdirSync(root + path, { withFileTypes: true })
        return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name)
      }) ?? [],
    exists: (path) => statSync(root + path, { throwIfNoEntry: false }) !== undefined
  }
}

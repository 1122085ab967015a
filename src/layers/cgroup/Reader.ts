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

/** `kept`: how to read a file of which one may keep the descriptor, below `/sys`, where there is such a way. */
export const make = (root: string, kept: Read | null = null): Reader => {
  let buffer = Buffer.allocUnsafeSlow(32_768)

  /** Fills the buffer, all of it where `whole`, and gives the number of bytes. */
  const fill = (fd: number, whole: boolean): number => {
    let length = 0
    for (;;) {
      const read = readSync(fd, buffer, length, buffer.length - length, null)
      length += read
      if (length === buffer.length) {
        const larger = Buffer.allocUnsafeSlow(buffer.length * 2)
        buffer.copy(larger)
        buffer = larger
      } else if (read === 0 || !whole) return length
    }
  }

  const text = (path: string, whole: boolean) =>
    orNull(() => {
      const fd = openSync(root + path, "r")
      try {
        return buffer.toString("utf8", 0, fill(fd, whole))
      } finally {
        closeSync(fd)
      }
    })

  return {
    once: (path) =>
      kept !== null && path.startsWith("/sys/")
        ? orNull(() => {
            const length = kept(root + path, buffer)
            return length < buffer.length ? buffer.toString("utf8", 0, length) : text(path, false)
          })
        : text(path, false),
    all: (path) => text(path, true),
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

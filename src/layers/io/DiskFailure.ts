/** What a failed file operation means to berth. Of the paths of the server nothing is told, only what was tried and the errno's name. */
import { readFileSync, statfsSync } from "node:fs"
import { dirname } from "node:path"
import { InvalidArgument, ResourceExhausted, Unavailable } from "../../schema/Errors.ts"
import { codeOf, isExhausted } from "../posix/Libc.ts"

/** Bytes of the file system that holds `path`; 0 where it cannot tell. */
const diskSize = (path: string): number => {
  try {
    const { blocks, bsize } = statfsSync(dirname(path))
    return blocks * bsize
  } catch {
    return 0
  }
}

/** How many files this process may have open; 0 where it cannot tell. */
const descriptorLimit = (): number => {
  try {
    return Number(/^Max open files +(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? 0)
  } catch {
    return 0
  }
}

/** No descriptor is left for what was tried. */
export const noDescriptor = () => new ResourceExhausted({ resource: "open files", limit: descriptorLimit() })

/** A disk or quota that is full is ResourceExhausted, and so are the open files; everything else is Unavailable; `action` says what was tried, as in "make a FIFO". */
export const diskFailure = (what: string, action: string, path: string, error: unknown) => {
  const code = codeOf(error)
  if (code === "ENOSPC" || code === "EDQUOT") {
    return new ResourceExhausted({ resource: `disk of the ${what}`, limit: diskSize(path) })
  }
  if (isExhausted(code)) return noDescriptor()
  return unavailable(what, action, error)
}

/** Codes that say that the path itself is at fault. */
const misnamed = ["ENOENT", "ENOTDIR", "EISDIR", "EEXIST", "EACCES", "EPERM", "ELOOP", "ENAMETOOLONG", "ENXIO", "EROFS"]

/** The same for a path that a request names: where that is what is wrong, it is InvalidArgument and names the field. */
export const targetFailure = (field: string, what: string, action: string, path: string, error: unknown) => {
  const code = codeOf(error)
  return misnamed.includes(code)
    ? new InvalidArgument({ field, problem: `${what}: cannot ${action}: ${code}` })
    : diskFailure(what, action, path, error)
}

/** The same where there is no question of a full disk. */
export const unavailable = (what: string, action: string, error: unknown) =>
  new Unavailable({ what, problem: `cannot ${action}: ${codeOf(error)}`, mend: null })

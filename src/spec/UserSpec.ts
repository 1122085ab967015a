/**
 * `--user UID[:GID]` and its names. Numbers need nobody; names, and the groups a user is in, come from a lookup that is
 * passed in, because the account files are inside the container's root filesystem.
 */
import { Result } from "effect"
import type { OciUser } from "../schema/OciSpec.ts"
import { fail, type Problem } from "./Problem.ts"

/** An account of the container. */
export interface Account {
  readonly uid: number
  readonly gid: number
  readonly additionalGids: ReadonlyArray<number>
}

/** The accounts of a container: users by name or number (as text), groups by name. */
export interface UserLookup {
  readonly user: (nameOrUid: string) => Account | undefined
  readonly group: (name: string) => number | undefined
}

const field = "user"
const isId = (text: string) => /^\d{1,10}$/.test(text) && Number(text) < 2 ** 32 - 1

/** The user as numbers. A number without account has group 0, as every OCI tool has it. */
export const resolve = (text: string, lookup: UserLookup | undefined): Result.Result<OciUser, Problem> => {
  const [name = "", groupName, ...rest] = text.split(":")
  if (rest.length > 0 || name === "" || groupName === "") return fail(field, `expected USER[:GROUP], got "${text}"`)
  const account = lookup?.user(name)
  const uid = isId(name) ? Number(name) : account?.uid
  if (uid === undefined) {
    return fail(field, /^\d+$/.test(name) ? `"${name}" is not a user id` : `no user "${name}" in the container`)
  }
  if (groupName === undefined) {
    const additionalGids = account?.additionalGids ?? []
    return Result.succeed({ uid, gid: account?.gid ?? 0, ...(additionalGids.length === 0 ? {} : { additionalGids }) })
  }
  const gid = isId(groupName) ? Number(groupName) : lookup?.group(groupName)
  return gid === undefined ? fail(field, `no group "${groupName}" in the container`) : Result.succeed({ uid, gid })
}

/** A lookup over the text of `/etc/passwd` and `/etc/group`; lines it cannot read are skipped. */
export const fromFiles = (passwd: string, group: string): UserLookup => {
  const rows = (text: string) => text.split("\n").map((line) => line.split(":"))
  const groups = rows(group).filter((row) => row.length >= 3 && isId(row[2]))
  const users = rows(passwd).filter((row) => row.length >= 4 && isId(row[2]) && isId(row[3]))
  return {
    user: (nameOrUid) => {
      const row = users.find(([name]) => name === nameOrUid) ?? users.find(([, , uid]) => uid === nameOrUid)
      if (row === undefined) return undefined
      const member = groups
        .filter((entry) => (entry[3] ?? "").split(",").includes(row[0]))
        .map((entry) => Number(entry[2]))
      const gid = Number(row[3])
      return { uid: Number(row[2]), gid, additionalGids: [...new Set(member)].filter((id) => id !== gid) }
    },
    group: (name) => {
      const row = groups.find((entry) => entry[0] === name)
      return row === undefined ? undefined : Number(row[2])
    }
  }
}

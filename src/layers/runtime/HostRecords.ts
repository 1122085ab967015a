/**
 * What the host driver remembers of a container: a folder with the leaders of its sessions, one file each, and the FIFO
 * that its first process waits for. It is on volatile storage, and what another boot left in it means nothing.
 */
import { Option, Schema } from "effect"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Identity } from "../../schema/TaskState.ts"
import type { Target } from "../../services/OciRuntime.ts"

const Text = Schema.fromJsonString(Identity)
const decode = Schema.decodeOption(Text)
const encode = Schema.encodeSync(Text)

const read = (file: string): Option.Option<Identity> => {
  try {
    return decode(readFileSync(file, "utf8"))
  } catch {
    return Option.none()
  }
}

const initFile = "init.json"

/** The records of one container. */
export interface Records {
  readonly exists: () => boolean
  readonly make: () => void
  readonly remove: () => void
  /** The FIFO of the first process, or of an exec; there while that waits. */
  readonly fifo: (execId: string | null) => string
  /** Whether the process with these arguments waits for one of them. */
  readonly isWaiting: (argv: ReadonlyArray<string>) => boolean
  /** Whether the first process waits still. Its own arguments do not tell: they are empty for a moment after its birth. */
  readonly isUnstarted: () => boolean
  /** Whether one may wait. */
  readonly hasFifo: () => boolean
  readonly saveInit: (identity: Identity) => void
  readonly saveExec: (identity: Identity) => void
  readonly init: () => Option.Option<Identity>
  /** Init and every process beside it. */
  readonly leaders: () => ReadonlyArray<Identity>
}

/** Nothing is touched before one of them is called. */
export const of = (root: string, { containerId, namespace }: Target): Records => {
  const folder = join(root, namespace, containerId)
  const save = (name: string, identity: Identity) => {
    writeFileSync(join(folder, `${name}.new`), encode(identity), { mode: 0o600 })
    renameSync(join(folder, `${name}.new`), join(folder, name))
  }
  return {
    exists: () => existsSync(folder),
    make: () => void mkdirSync(folder, { recursive: true, mode: 0o700 }),
    remove: () => rmSync(folder, { recursive: true, force: true }),
    fifo: (execId) => join(folder, execId === null ? "init.fifo" : `exec-${execId}.fifo`),
    isWaiting: (argv) => argv.some((word) => word.startsWith(`${folder}/`) && word.endsWith(".fifo")),
    isUnstarted: () => existsSync(join(folder, "init.fifo")),
    hasFifo: () => existsSync(folder) && readdirSync(folder).some((name) => name.endsWith(".fifo")),
    saveInit: (identity) => save(initFile, identity),
    saveExec: (identity) => save(`${identity.pid}.json`, identity),
    init: () => read(join(folder, initFile)),
    leaders: () =>
      existsSync(folder)
        ? readdirSync(folder)
            .filter((name) => name.endsWith(".json"))
            .flatMap((name) => Option.toArray(read(join(folder, name))))
        : []
  }
}

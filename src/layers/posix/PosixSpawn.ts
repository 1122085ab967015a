/**
 * posix_spawn(3): starts a program without copying the page tables of this process, which is what makes a fork slow in
 * a large one. The program gets three descriptors, a session of its own, every signal at its default and none blocked.
 * It relies on all other descriptors being close-on-exec, as Node opens them. Only the calls are here, not the waiting.
 */
import type { LibraryHandle } from "koffi"

/** The umask of programs that are started: what every login has. */
const usualMask = 0o022

export interface Program {
  /** Never looked for on PATH. */
  readonly path: string
  /** Without the program's own name, which is its path. */
  readonly args: ReadonlyArray<string>
  /** The whole environment. */
  readonly env: Readonly<Record<string, string>>
  /** Any descriptor of this process, in any order; null is /dev/null. */
  readonly stdin: number | null
  readonly stdout: number | null
  readonly stderr: number | null
  /** The path of a terminal, in place of all three; it becomes the session's own. */
  readonly terminal?: string
}

type Stdio = readonly [stdin: number | null, stdout: number | null, stderr: number | null]

/** What the child does before it becomes the program. */
export type Action =
  | { readonly _tag: "Copy"; readonly from: number; readonly to: number }
  | { readonly _tag: "OpenNull"; readonly to: number }
  | { readonly _tag: "Close"; readonly fd: number }

/** A source that is itself one of 0, 1, 2 is moved out of the way first: another's turn would overwrite it. */
export const actions = (stdio: Stdio): ReadonlyArray<Action> => {
  const moved = new Map<number, number>()
  let free = 3
  for (const fd of stdio) {
    if (fd === null || fd > 2 || moved.has(fd)) continue
    while (stdio.includes(free)) free++
    moved.set(fd, free++)
  }
  return [
    ...Array.from(moved, ([from, to]): Action => ({ _tag: "Copy", from, to })),
    ...stdio.map((fd, to): Action =>
      fd === null ? { _tag: "OpenNull", to } : { _tag: "Copy", from: moved.get(fd) ?? fd, to }
    ),
    ...Array.from(moved.values(), (fd): Action => ({ _tag: "Close", fd }))
  ]
}

const POSIX_SPAWN_SETSIGDEF = 0x04
const POSIX_SPAWN_SETSIGMASK = 0x08
const POSIX_SPAWN_SETSID = 0x80
const O_RDWR = 2
const EINVAL = 22
// Opaque structures: 80, 336 and 128 bytes in glibc on x86-64, and no larger elsewhere.
const fileActionsBytes = 512
const attributesBytes = 1024
const signalSetBytes = 128

/** Binds the function: the pid, or the errno as a negative number. */
export const bind = (libc: LibraryHandle): ((program: Program) => number) => {
  const spawn = libc.func(
    "int posix_spawn(_Out_ int *pid, const char *path, void *actions, void *attr, const char **argv, const char **envp)"
  )
  const actionsInit = libc.func("int posix_spawn_file_actions_init(void *actions)")
  const actionsDestroy = libc.func("int posix_spawn_file_actions_destroy(void *actions)")
  const addCopy = libc.func("int posix_spawn_file_actions_adddup2(void *actions, int from, int to)")
  const addOpen = libc.func(
    "int posix_spawn_file_actions_addopen(void *actions, int fd, const char *path, int flags, unsigned int mode)"
  )
  const addClose = libc.func("int posix_spawn_file_actions_addclose(void *actions, int fd)")
  const attrInit = libc.func("int posix_spawnattr_init(void *attr)")
  const attrDestroy = libc.func("int posix_spawnattr_destroy(void *attr)")
  const setFlags = libc.func("int posix_spawnattr_setflags(void *attr, short flags)")
  const setDefault = libc.func("int posix_spawnattr_setsigdefault(void *attr, void *set)")
  const setMask = libc.func("int posix_spawnattr_setsigmask(void *attr, void *set)")

  const add = (list: Uint8Array, action: Action): number => {
    if (action._tag === "Copy") return addCopy(list, action.from, action.to)
    if (action._tag === "OpenNull") return addOpen(list, action.to, "/dev/null", O_RDWR, 0)
    return addClose(list, action.fd)
  }

  /** A session's leader that opens a terminal while it has none gets it as its controlling terminal. */
  const addTerminal = (list: Uint8Array, terminal: string): number =>
    addOpen(list, 0, terminal, O_RDWR, 0) || addCopy(list, 0, 1) || addCopy(list, 0, 2)

  return ({ args, env, path, stderr, stdin, stdout, terminal }) => {
    const argv = [path, ...args]
    const envp = Object.entries(env).map(([name, value]) => `${name}=${value}`)
    // C would take the text up to there for the whole of it.
    if ([...argv, ...envp].some((text) => text.includes("\0"))) return -EINVAL
    const list = Buffer.alloc(fileActionsBytes)
    const attributes = Buffer.alloc(attributesBytes)
    actionsInit(list)
    attrInit(attributes)
    try {
      for (const action of terminal === undefined ? actions([stdin, stdout, stderr]) : []) {
        const error = add(list, action)
        if (error !== 0) return -error
      }
      const refused = terminal === undefined ? 0 : addTerminal(list, terminal)
      if (refused !== 0) return -refused
      setFlags(attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID)
      // Every bit, and not sigfillset: that leaves out libc's own two signals, which the program would then ignore.
      setDefault(attributes, Buffer.alloc(signalSetBytes, 0xff))
      setMask(attributes, Buffer.alloc(signalSetBytes))
      const pid = [0]
      // Ours keeps what berth makes private; a runtime would hand it on to containers, and to the folders that it makes in their root filesystems.
      const ours = process.umask(usualMask)
      try {
        const error: number = spawn(pid, path, list, attributes, [...argv, null], [...envp, null])
        return error === 0 ? (pid[0] ?? 0) : -error
      } finally {
        process.umask(ours)
      }
    } finally {
      attrDestroy(attributes)
      actionsDestroy(list)
    }
  }
}

/**
 * The few system calls that Node lacks, each as a typed effect. They are plain, short and synchronous: nothing in here
 * may wait. What the calls are for (who may be reaped, which pid may be signalled) is not decided here.
 */
import { Context, Effect, Layer, Option, Result, Schema } from "effect"
import { closeSync } from "node:fs"
import { createRequire } from "node:module"
import * as MountCalls from "./MountCalls.ts"
import * as PipeCalls from "./PipeCalls.ts"
import * as PosixSpawn from "./PosixSpawn.ts"
import * as TerminalCalls from "./TerminalCalls.ts"

type Koffi = typeof import("koffi")

/** A system call failed; `code` is the errno's name, `ENOSYS` where the foreign function library cannot be loaded. */
export class PosixError extends Schema.TaggedError<PosixError>()("PosixError", {
  call: Schema.String,
  code: Schema.String
}) {
  override get message() {
    return `${this.call}: ${this.code}`
  }
}

/** Exit code, or 128 + signal, of a status word of wait(2). */
export const exitStatus = (word: number): number => {
  const signal = word & 0x7f
  return signal === 0 ? (word >> 8) & 0xff : 128 + signal
}

const PR_SET_CHILD_SUBREAPER = 36
const WNOHANG = 1
const WEXITED = 4
const WNOWAIT = 0x0100_0000
const P_ALL = 0
const LOCK_EX = 2
const LOCK_NB = 4
const P_PID = 1
const siginfoBytes = 128
const siginfoPidOffset = 16
const O_CLOEXEC = 0o2000000
const SYS_pidfd_send_signal = 424
const SYS_open_tree = 428
const SYS_move_mount = 429
/** OPEN_TREE_CLONE | AT_EMPTY_PATH | OPEN_TREE_CLOEXEC. */
const openTreeFlags = 0x1 | 0x1000 | 0x8_0000
const MOVE_MOUNT_F_EMPTY_PATH = 0x4
const AT_FDCWD = -100
const SYS_pidfd_open = 434
// _IOWR(0xFF, 11, struct pidfd_info) in the first published size of the structure, which every later kernel still
// accepts.
const pidfdInfoBytes = 64
const PIDFD_GET_INFO = 0xc000_ff0b + pidfdInfoBytes * 0x1_0000
const PIDFD_INFO_EXIT = 1 << 3
const exitCodeOffset = 60
const pollBytes = 8
const FIONREAD = 0x541b
const POLLIN = 1

interface Bound {
  readonly errno: () => string
  readonly nameOf: (errno: number) => string
  readonly prctl: (option: number, a: number, b: number, c: number, d: number) => number
  readonly waitpid: (pid: number, status: Array<number>, options: number) => number
  readonly waitid: (type: number, id: number, info: Uint8Array, options: number) => number
  readonly spawn: (program: PosixSpawn.Program) => number
  readonly pipe2: (fds: Uint8Array, flags: number) => number
  readonly mkfifo: (path: string, mode: number) => number
  readonly flock: (fd: number, operation: number) => number
  readonly syscall: (number: number, ...args: ReadonlyArray<string | number | null>) => number
  readonly poll: (fds: Uint8Array, count: number, timeout: number) => number
  readonly ioctl: (fd: number, request: number, type: "void *", argument: Uint8Array) => number
  readonly prlimit: (pid: number, resource: number, limit: Uint8Array, before: null) => number
  readonly terminal: () => TerminalCalls.TerminalCalls
  readonly mounts: () => MountCalls.MountCalls
  readonly pipes: () => PipeCalls.PipeCalls | null
}

const bind = (koffi: Koffi): Bound => {
  const libc = koffi.load(null)
  // Not node:util's table, which knows only the errors that libuv can meet (no ECHILD). Of two names the first counts:
  // EAGAIN.
  const names = new Map(
    Object.entries(koffi.os.errno)
      .reverse()
      .map(([name, number]) => [number, name])
  )
  const nameOf = (errno: number) => names.get(errno) ?? "EIO"
  let mounts: MountCalls.MountCalls | undefined
  let pipes: PipeCalls.PipeCalls | null | undefined
  let terminal: TerminalCalls.TerminalCalls | undefined
  let prlimit: Bound["prlimit"] | undefined
  return {
    errno: () => nameOf(koffi.errno()),
    nameOf,
    prctl: libc.func("int prctl(int option, unsigned long a, unsigned long b, unsigned long c, unsigned long d)"),
    waitpid: libc.func("int waitpid(int pid, _Out_ int *status, int options)"),
    waitid: libc.func("int waitid(int type, unsigned int id, void *info, int options)"),
    spawn: PosixSpawn.bind(libc),
    pipe2: libc.func("int pipe2(void *fds, int flags)"),
    mkfifo: libc.func("int mkfifo(const char *path, unsigned int mode)"),
    flock: libc.func("int flock(int fd, int operation)"),
    syscall: libc.func("long syscall(long number, ...)"),
    poll: libc.func("int poll(void *fds, unsigned long count, int timeout)"),
    ioctl: libc.func("int ioctl(int fd, unsigned long request, ...)"),
    prlimit: (pid, resource, limit, before) =>
      (prlimit ??= libc.func("int prlimit(int pid, int resource, void *limit, void *before)"))(
        pid,
        resource,
        limit,
        before
      ),
    mounts: () => (mounts ??= MountCalls.bind(koffi)),
    pipes: () => {
      if (pipes !== undefined) return pipes
      try {
        pipes = PipeCalls.bind(koffi, () => nameOf(koffi.errno()))
      } catch {
        pipes = null
      }
      return pipes
    },
    terminal: () => (terminal ??= TerminalCalls.bind(koffi))
  }
}

export class Libc extends Context.Service<
  Libc,
  {
    /** Orphans among this process's descendants become its children, instead of init's. */
    readonly setChildSubreaper: Effect.Effect<void, PosixError>
    /**
     * The exit status of one child, reaping it; none while it runs. ECHILD where it is not our child or was reaped
     * before.
     */
    readonly waitpid: (pid: number) => Effect.Effect<Option.Option<number>, PosixError>
    /** Whether a child has ended and was not yet waited for; it stays so. */
    readonly hasEnded: (pid: number) => Effect.Effect<boolean, PosixError>
    /** Some child that has ended and was not yet waited for, ours or Node's; it stays so. ECHILD where there is no child. */
    readonly endedChild: Effect.Effect<Option.Option<number>, PosixError>
    /** Starts a program, as a child that leads a session of its own, and gives its pid. */
    readonly spawn: (program: PosixSpawn.Program) => Effect.Effect<number, PosixError>
    /** Both ends of a new pipe, close-on-exec; the caller closes them. */
    readonly pipe: Effect.Effect<{ readonly read: number; readonly write: number }, PosixError>
    /** Mounts a filesystem that has no device; `data` is its options. */
    readonly mount: (type: string, target: string, data: string) => Effect.Effect<void, PosixError>
    /** Has the file at `path` be what is open, for as long as that is mounted there. */
    readonly mountDescriptor: (fd: number, path: string) => Effect.Effect<void, PosixError>
    /** Takes the uppermost mount off a path, though it may be in use. EINVAL where nothing is mounted there. */
    readonly unmount: (target: string) => Effect.Effect<void, PosixError>
    /** Moves what is in pipes, and waits for it, without reading it. ENOSYS where this event loop cannot. */
    readonly pipes: Effect.Effect<PipeCalls.PipeCalls, PosixError>
    /** Makes a FIFO. The process's umask applies to `mode`. */
    readonly mkfifo: (path: string, mode: number) => Effect.Effect<void, PosixError>
    /** Locks a file for as long as it is open, without waiting; false where another open file has the lock. */
    readonly lock: (fd: number) => Effect.Effect<boolean, PosixError>
    /** kill(2) with any signal number, real-time ones too. */
    readonly kill: (pid: number, signal: number) => Effect.Effect<void, PosixError>
    /** A close-on-exec descriptor for a process; the caller closes it. */
    readonly pidfdOpen: (pid: number) => Effect.Effect<number, PosixError>
    readonly pidfdSendSignal: (pidfd: number, signal: number) => Effect.Effect<void, PosixError>
    /** Those of the descriptors that poll(2) calls readable now; a pidfd is once its process has ended. */
    readonly readable: (fds: ReadonlyArray<number>) => Effect.Effect<ReadonlyArray<number>, PosixError>
    /**
     * The exit status of a process, whoever reaped it; none until it has been reaped. EINVAL or ENOTTY on kernels
     * before 6.15.
     */
    readonly pidfdExitStatus: (pidfd: number) => Effect.Effect<Option.Option<number>, PosixError>
    /** A unix socket that listens at a path of at most `maxSocketPath` bytes (`TerminalCalls.ts`); non-blocking. The caller closes it. */
    readonly listenUnix: (path: string) => Effect.Effect<number, PosixError>
    /** The next connection; EAGAIN where none waits. Non-blocking; the caller closes it. */
    readonly accept: (socket: number) => Effect.Effect<number, PosixError>
    /**
     * The descriptor that the next message carries, close-on-exec; none where it carries none. EAGAIN where no message
     * waits. The caller closes it.
     */
    readonly receiveDescriptor: (socket: number) => Effect.Effect<Option.Option<number>, PosixError>
    /** Sends a descriptor to the unix socket that listens at a path; the caller keeps and closes its own. */
    readonly sendDescriptor: (path: string, fd: number) => Effect.Effect<void, PosixError>
    /** Limits another process as setrlimit(2) does. */
    readonly setLimit: (
      pid: number,
      resource: number,
      limit: { readonly soft: bigint; readonly hard: bigint }
    ) => Effect.Effect<void, PosixError>
    /** How many bytes there are to read in a pipe. */
    readonly unread: (fd: number) => Effect.Effect<number, PosixError>
    /** Another descriptor of the same open file, close-on-exec; the caller closes it. */
    readonly duplicate: (fd: number) => Effect.Effect<number, PosixError>
    /** Makes reads and writes of a file that is open for both fail with EAGAIN instead of waiting. */
    readonly setNonBlocking: (fd: number) => Effect.Effect<void, PosixError>
    readonly setWindowSize: (
      fd: number,
      size: { readonly width: number; readonly height: number }
    ) => Effect.Effect<void, PosixError>
    /** The terminal shows what is written to it as it is: a newline no longer begins a line. */
    readonly disableOutputProcessing: (fd: number) => Effect.Effect<void, PosixError>
  }
>()("berth/layers/posix/Libc") {
  /** Loads the library at the first call, so that building the layer costs nothing. */
  static readonly layer = Layer.sync(Libc, () => {
    let bound: Bound | undefined
    const load = (): Bound => (bound ??= bind(createRequire(import.meta.url)("koffi")))

    const call = <A>(name: string, run: (libc: Bound, fail: () => PosixError) => A | PosixError) =>
      Effect.suspend((): Effect.Effect<A, PosixError> => {
        let libc: Bound
        try {
          libc = load()
        } catch {
          return Effect.fail(new PosixError({ call: name, code: "ENOSYS" }))
        }
        const result = run(libc, () => new PosixError({ call: name, code: libc.errno() }))
        return result instanceof PosixError ? Effect.fail(result) : Effect.succeed(result)
      })
    const check = (name: string, run: (libc: Bound) => number) =>
      call<number>(name, (libc, fail) => {
        const result = run(libc)
        return result === -1 ? fail() : result
      })

    return Libc.of({
      setChildSubreaper: Effect.asVoid(check("prctl", (libc) => libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0))),
      waitpid: (pid) =>
        call("waitpid", (libc, fail) => {
          const word = [0]
          const result = libc.waitpid(pid, word, WNOHANG)
          if (result === -1) return fail()
          return result === 0 ? Option.none() : Option.some(exitStatus(word[0] ?? 0))
        }),
      hasEnded: (pid) =>
        call("waitid", (libc, fail) => {
          const info = Buffer.alloc(siginfoBytes)
          return libc.waitid(P_PID, pid, info, WEXITED | WNOHANG | WNOWAIT) === -1
            ? fail()
            : info.readInt32LE(siginfoPidOffset) === pid
        }),
      endedChild: call("waitid", (libc, fail) => {
        const info = Buffer.alloc(siginfoBytes)
        if (libc.waitid(P_ALL, 0, info, WEXITED | WNOHANG | WNOWAIT) === -1) return fail()
        return Option.filter(Option.some(info.readInt32LE(siginfoPidOffset)), (pid) => pid > 0)
      }),
      spawn: (program) =>
        call("posix_spawn", (libc) => {
          const pid = libc.spawn(program)
          return pid > 0 ? pid : new PosixError({ call: "posix_spawn", code: libc.nameOf(-pid) })
        }),
      pipe: call("pipe2", (libc, fail) => {
        const fds = Buffer.alloc(8)
        if (libc.pipe2(fds, O_CLOEXEC) === -1) return fail()
        return { read: fds.readInt32LE(0), write: fds.readInt32LE(4) }
      }),
      lock: (fd) =>
        Effect.match(
          check("flock", (libc) => libc.flock(fd, LOCK_EX | LOCK_NB)),
          {
            onSuccess: () => Result.succeed(true),
            onFailure: (error) => (error.code === "EAGAIN" ? Result.succeed(false) : Result.fail(error))
          }
        ).pipe(Effect.flatMap(Effect.fromResult)),
      mount: (type, target, data) =>
        Effect.asVoid(check("mount", (libc) => libc.mounts().mount(type, target, 0, data))),
      mountDescriptor: (fd, path) =>
        Effect.acquireUseRelease(
          check("open_tree", (libc) =>
            libc.syscall(SYS_open_tree, "int", fd, "char *", "", "unsigned int", openTreeFlags)
          ),
          (tree) =>
            Effect.asVoid(
              check("move_mount", (libc) =>
                libc.syscall(
                  SYS_move_mount,
                  "int",
                  tree,
                  "char *",
                  "",
                  "int",
                  AT_FDCWD,
                  "char *",
                  path,
                  "unsigned int",
                  MOVE_MOUNT_F_EMPTY_PATH
                )
              )
            ),
          (tree) => Effect.sync(() => closeSync(tree))
        ),
      unmount: (target) => Effect.asVoid(check("umount", (libc) => libc.mounts().unmount(target))),
      pipes: call("splice", (libc) => libc.pipes() ?? new PosixError({ call: "splice", code: "ENOSYS" })),
      mkfifo: (path, mode) => Effect.asVoid(check("mkfifo", (libc) => libc.mkfifo(path, mode))),
      kill: (pid, signal) =>
        Effect.try({
          try: () => {
            process.kill(pid, signal)
          },
          catch: (error) => new PosixError({ call: "kill", code: codeOf(error) })
        }),
      pidfdOpen: (pid) => check("pidfd_open", (libc) => libc.syscall(SYS_pidfd_open, "int", pid, "unsigned int", 0)),
      pidfdSendSignal: (pidfd, signal) =>
        Effect.asVoid(
          check("pidfd_send_signal", (libc) =>
            libc.syscall(SYS_pidfd_send_signal, "int", pidfd, "int", signal, "void *", null, "unsigned int", 0)
          )
        ),
      readable: (fds) =>
        call("poll", (libc, fail) => {
          const entries = Buffer.alloc(fds.length * pollBytes)
          fds.forEach((fd, index) => {
            entries.writeInt32LE(fd, index * pollBytes)
            entries.writeInt16LE(POLLIN, index * pollBytes + 4)
          })
          if (libc.poll(entries, fds.length, 0) === -1) return fail()
          return fds.filter((_, index) => entries.readInt16LE(index * pollBytes + 6) !== 0)
        }),
      unread: (fd) =>
        call("ioctl", (libc, fail) => {
          const count = Buffer.alloc(4)
          return libc.ioctl(fd, FIONREAD, "void *", count) === -1 ? fail() : count.readInt32LE(0)
        }),
      pidfdExitStatus: (pidfd) =>
        call("ioctl", (libc, fail) => {
          const info = Buffer.alloc(pidfdInfoBytes)
          info.writeBigUInt64LE(BigInt(PIDFD_INFO_EXIT), 0)
          if (libc.ioctl(pidfd, PIDFD_GET_INFO, "void *", info) === -1) return fail()
          const answered = Number(info.readBigUInt64LE(0) & BigInt(PIDFD_INFO_EXIT)) !== 0
          return answered ? Option.some(exitStatus(info.readInt32LE(exitCodeOffset))) : Option.none()
        }),
      listenUnix: (path) => check("bind", (libc) => libc.terminal().listenUnix(path)),
      accept: (socket) => check("accept4", (libc) => libc.terminal().accept(socket)),
      receiveDescriptor: (socket) =>
        call("recvmsg", (libc, fail) => {
          const fd = libc.terminal().receiveDescriptor(socket)
          return fd === -1 ? fail() : Option.fromNullOr(fd)
        }),
      sendDescriptor: (path, fd) => Effect.asVoid(check("sendmsg", (libc) => libc.terminal().sendDescriptor(path, fd))),
      setLimit: (pid, resource, { hard, soft }) =>
        Effect.asVoid(
          check("prlimit", (libc) => {
            const limit = Buffer.alloc(16)
            limit.writeBigUInt64LE(BigInt.asUintN(64, soft), 0)
            limit.writeBigUInt64LE(BigInt.asUintN(64, hard), 8)
            return libc.prlimit(pid, resource, limit, null)
          })
        ),
      duplicate: (fd) => check("fcntl", (libc) => libc.terminal().duplicate(fd)),
      setNonBlocking: (fd) => Effect.asVoid(check("fcntl", (libc) => libc.terminal().setNonBlocking(fd))),
      setWindowSize: (fd, { height, width }) =>
        Effect.asVoid(check("ioctl", (libc) => libc.terminal().setWindowSize(fd, width, height))),
      disableOutputProcessing: (fd) =>
        Effect.asVoid(check("ioctl", (libc) => libc.terminal().disableOutputProcessing(fd)))
    })
  })
}

/** The errno name of a failure thrown by Node. */
export const codeOf = (error: unknown): string =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "EIO"

/** Whether it failed only for want of descriptors, so that it succeeds when others have closed theirs. */
export const isExhausted = (code: string): boolean => code === "EMFILE" || code === "ENFILE"

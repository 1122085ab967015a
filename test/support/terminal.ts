/** Plays the runtime for tests of terminals: makes a terminal, runs a program on it as leader of its own session, and sends the master to a console socket. */
import { Effect } from "effect"
import koffi from "koffi"
import { spawn } from "node:child_process"
import { closeSync, constants, openSync } from "node:fs"

const libc = koffi.load(null)
const ioctl = libc.func("int ioctl(int fd, unsigned long request, ...)")
const socket = libc.func("int socket(int domain, int type, int protocol)")
const connect = libc.func("int connect(int fd, void *address, unsigned int length)")
const sendmsg = libc.func("long sendmsg(int fd, void *message, int flags)")

const TIOCSPTLCK = 0x40045431
const TIOCGPTN = 0x80045430
const closeOnExec = 0x8_0000

const ok = (result: number): number => {
  if (result === -1) throw new Error(`errno ${koffi.errno()}`)
  return result
}

/** Both ends of a new terminal. */
export const openTerminal = () => {
  const flags = constants.O_RDWR | constants.O_NOCTTY
  const master = openSync("/dev/ptmx", flags)
  const number = Buffer.alloc(4)
  ok(ioctl(master, TIOCSPTLCK, "void *", number))
  ok(ioctl(master, TIOCGPTN, "void *", number))
  return { master, slave: openSync(`/dev/pts/${number.readUInt32LE(0)}`, flags) }
}

/** Sends a descriptor as runtimes do. */
export const sendDescriptor = (path: string, fd: number): void => {
  const address = Buffer.alloc(2 + Buffer.byteLength(path) + 1)
  address.writeUInt16LE(1, 0)
  address.write(path, 2)
  const connection: number = ok(socket(1, 1 | closeOnExec, 0))
  try {
    ok(connect(connection, address, address.length))
    // struct msghdr, an iovec of one byte, and a control message with the descriptor, one behind the other.
    const message = Buffer.alloc(56 + 16 + 24 + 8)
    const at = koffi.address(message)
    message.writeBigUInt64LE(at + 56n, 16)
    message.writeBigUInt64LE(1n, 24)
    message.writeBigUInt64LE(at + 72n, 32)
    message.writeBigUInt64LE(24n, 40)
    message.writeBigUInt64LE(at + 96n, 56)
    message.writeBigUInt64LE(1n, 64)
    message.writeBigUInt64LE(20n, 72)
    message.writeInt32LE(1, 80)
    message.writeInt32LE(1, 84)
    message.writeInt32LE(fd, 88)
    ok(Number(sendmsg(connection, message, 0)))
  } finally {
    closeSync(connection)
  }
}

export interface Session {
  readonly pid: number
  /** Exit code, or the name of the signal. */
  readonly ended: Effect.Effect<number | string>
}

/** Runs a script on a terminal whose master goes to the console socket. What is left of it is killed with the scope. */
export const runOnTerminal = Effect.fnUntraced(function* (path: string, script: string) {
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const { master, slave } = openTerminal()
      sendDescriptor(path, master)
      // It must not lead a group already: then setsid would start another process.
      const child = spawn("setsid", ["--ctty", "/bin/sh", "-c", script], { stdio: [slave, slave, slave] })
      closeSync(master)
      closeSync(slave)
      return child
    }),
    ({ pid = 0 }) => Effect.ignore(Effect.try(() => process.kill(-pid, "SIGKILL")))
  )
  const ended = Effect.callback<number | string>((resume) => {
    const tell = () => resume(Effect.succeed(child.exitCode ?? child.signalCode ?? "?"))
    if (child.exitCode !== null || child.signalCode !== null) tell()
    else child.once("exit", tell)
  })
  const session: Session = { pid: child.pid ?? 0, ended }
  return session
})

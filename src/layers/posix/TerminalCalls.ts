/**
 * What terminals need of libc: a unix socket that receives a descriptor, and a few operations on the descriptor. Calls that fail answer -1 and leave errno
 * as it is. Only the calls are here; `Libc.ts` makes effects of them.
 */
import { closeSync } from "node:fs"

type Koffi = typeof import("koffi")

const AF_UNIX = 1
const SOCK_STREAM = 1
/** SOCK_CLOEXEC | SOCK_NONBLOCK. */
const socketFlags = 0x8_0800
const F_SETFL = 4
const F_DUPFD_CLOEXEC = 1030
/** O_RDWR | O_NONBLOCK. */
const nonBlocking = 0x802
/** MSG_DONTWAIT | MSG_CMSG_CLOEXEC. */
const receiveFlags = 0x4000_0040
const SOL_SOCKET = 1
const SCM_RIGHTS = 1
// A struct msghdr of a 64-bit system, behind it an iovec, a cmsghdr with one descriptor, and the text of the message.
const vectorOffset = 56
const controlOffset = 72
const textOffset = 96
const textBytes = 4096
/** A cmsghdr with one descriptor, without its padding. */
const descriptorBytes = 20
const TIOCSWINSZ = 0x5414
const TCGETS = 0x5401
const TCSETS = 0x5402
const termiosBytes = 64
const outputFlagsOffset = 4
const OPOST = 1

/** The longest path of a unix socket, in bytes. */
export const maxSocketPath = 107

export interface TerminalCalls {
  /** Makes the socket and listens. The path must not be longer than `maxSocketPath`. */
  readonly listenUnix: (path: string) => number
  readonly accept: (socket: number) => number
  /** The descriptor that a message carries; `null` where it carries none. */
  readonly receiveDescriptor: (socket: number) => number | null
  /** Connects to a listening socket, and sends a descriptor and one byte through it. */
  readonly sendDescriptor: (path: string, fd: number) => number
  readonly duplicate: (fd: number) => number
  readonly setNonBlocking: (fd: number) => number
  readonly setWindowSize: (fd: number, width: number, height: number) => number
  readonly disableOutputProcessing: (fd: number) => number
}

/** Binds the functions, which is for when the first terminal is made. */
export const bind = (koffi: Koffi): TerminalCalls => {
  const libc = koffi.load(null)
  const socket = libc.func("int socket(int domain, int type, int protocol)")
  const bindTo = libc.func("int bind(int fd, void *address, unsigned int length)")
  const listen = libc.func("int listen(int fd, int backlog)")
  const accept4 = libc.func("int accept4(int fd, void *address, void *length, int flags)")
  const connect = libc.func("int connect(int fd, void *address, unsigned int length)")
  const sendmsg = libc.func("long sendmsg(int fd, void *message, int flags)")
  const recvmsg = libc.func("long recvmsg(int fd, void *message, int flags)")
  const fcntl = libc.func("int fcntl(int fd, int command, ...)")
  const ioctl = libc.func("int ioctl(int fd, unsigned long request, ...)")

  const addressOf = (path: string) => {
    const address = Buffer.alloc(2 + Buffer.byteLength(path) + 1)
    address.writeUInt16LE(AF_UNIX, 0)
    address.write(path, 2)
    return address
  }
  const closeAfter = <A>(fd: number, result: A): A => {
    const errno = koffi.errno()
    closeSync(fd)
    koffi.errno(errno)
    return result
  }
  /** A message of `bytes` bytes of text with room for one descriptor, all in one piece of memory: what is only pointed at could be collected. */
  const messageOf = (bytes: number) => {
    const message = Buffer.alloc(textOffset + bytes)
    const at = (offset: number) => koffi.address(message) + BigInt(offset)
    message.writeBigUInt64LE(at(vectorOffset), 16)
    message.writeBigUInt64LE(1n, 24)
    message.writeBigUInt64LE(at(controlOffset), 32)
    message.writeBigUInt64LE(BigInt(textOffset - controlOffset), 40)
    message.writeBigUInt64LE(at(textOffset), vectorOffset)
    message.writeBigUInt64LE(BigInt(bytes), vectorOffset + 8)
    return { message, control: message.subarray(controlOffset, textOffset) }
  }

  return {
    listenUnix: (path) => {
      const address = addressOf(path)
      const fd: number = socket(AF_UNIX, SOCK_STREAM | socketFlags, 0)
      if (fd === -1 || (bindTo(fd, address, address.length) !== -1 && listen(fd, 1) !== -1)) return fd
      return closeAfter(fd, -1)
    },
    sendDescriptor: (path, fd) => {
      const address = addressOf(path)
      const connection: number = socket(AF_UNIX, SOCK_STREAM | socketFlags, 0)
      if (connection === -1) return -1
      const { control, message } = messageOf(1)
      control.writeBigUInt64LE(BigInt(descriptorBytes), 0)
      control.writeInt32LE(SOL_SOCKET, 8)
      control.writeInt32LE(SCM_RIGHTS, 12)
      control.writeInt32LE(fd, 16)
      const sent = connect(connection, address, address.length) === -1 ? -1 : sendmsg(connection, message, 0)
      return closeAfter(connection, Number(sent) === 1 ? 0 : -1)
    },
    accept: (listener) => accept4(listener, null, null, socketFlags),
    receiveDescriptor: (connection) => {
      const { control, message } = messageOf(textBytes)
      if (recvmsg(connection, message, receiveFlags) === -1) return -1
      const carries = control.readInt32LE(8) === SOL_SOCKET && control.readInt32LE(12) === SCM_RIGHTS
      return carries ? control.readInt32LE(16) : null
    },
    duplicate: (fd) => fcntl(fd, F_DUPFD_CLOEXEC, "int", 0),
    setNonBlocking: (fd) => fcntl(fd, F_SETFL, "int", nonBlocking),
    setWindowSize: (fd, width, height) => {
      const size = Buffer.alloc(8)
      size.writeUInt16LE(height, 0)
      size.writeUInt16LE(width, 2)
      return ioctl(fd, TIOCSWINSZ, "void *", size)
    },
    disableOutputProcessing: (fd) => {
      const termios = Buffer.alloc(termiosBytes)
      if (ioctl(fd, TCGETS, "void *", termios) === -1) return -1
      termios.writeUInt32LE((termios.readUInt32LE(outputFlagsOffset) & ~OPOST) >>> 0, outputFlagsOffset)
      return ioctl(fd, TCSETS, "void *", termios)
    }
  }
}

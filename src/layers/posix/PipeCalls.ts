/**
 * What pipes need that Node lacks: to move what is in one to a file within the kernel, and to hear that there is something to read without reading it, for
 * which Node's own event loop is asked through the functions that it exports. Only the calls are here; `Libc.ts` hands them out.
 */
import { isMainThread } from "node:worker_threads"

type Koffi = typeof import("koffi")

const SPLICE_F_NONBLOCK = 2
/** UV_POLL of uv_handle_type, and UV_READABLE of uv_poll_event; both are part of libuv's stable interface. */
const pollHandle = 8
const readable = 1

/** Waits for one descriptor. Made asleep. */
export interface Readiness {
  /** Calls again and again while there is something to read, or nobody to write it. */
  readonly awake: () => void
  readonly sleep: () => void
  /** For good; the descriptor may be closed then. */
  readonly close: () => void
}

export interface PipeCalls {
  /**
   * Moves what is in a pipe to a place in a file, in one piece however this process ends: what is in the file is no longer in the pipe, and the other way round.
   * The number of bytes, 0 where nobody has the pipe open for writing, or the errno's name, EAGAIN where it is empty.
   */
  readonly move: (pipe: number, file: number, position: number, most: number) => number | string
  /** `null` where the event loop cannot wait for it. The callback must not throw. */
  readonly watch: (fd: number, onReadable: () => void) => Readiness | null
}

/** Binds the functions, which is for when the first pipe is read. Throws where they are not to be had, as in a worker, which has another event loop. */
export const bind = (koffi: Koffi, errno: () => string): PipeCalls => {
  if (!isMainThread) throw new Error("this is a worker")
  const libc = koffi.load(null)
  const splice = libc.func("long splice(int from, void *a, int to, void *b, unsigned long length, unsigned int flags)")
  const handleSize = libc.func("unsigned long uv_handle_size(int type)")
  const typeName = libc.func("const char *uv_handle_type_name(int type)")
  const init = libc.func("int uv_poll_init(void *loop, void *handle, int fd)")
  const onPoll = koffi.proto("void berth_on_poll(uintptr_t handle, int status, int events)")
  const onClose = koffi.proto("void berth_on_close(uintptr_t handle)")
  const start = libc.func("int uv_poll_start(void *handle, int events, berth_on_poll *callback)")
  const stop = libc.func("int uv_poll_stop(void *handle)")
  const close = libc.func("void uv_close(void *handle, berth_on_close *callback)")
  if (typeName(pollHandle) !== "poll") throw new Error("this is another libuv")
  const loop: unknown = libc.func("void *uv_default_loop()")()
  const size = Number(handleSize(pollHandle))

  const handles = new Map<bigint, { readonly memory: unknown; readonly onReadable: () => void }>()
  const polled = koffi.register((handle: number | bigint) => {
    handles.get(BigInt(handle))?.onReadable()
  }, koffi.pointer(onPoll))
  const closed = koffi.register((handle: number | bigint) => {
    const known = handles.get(BigInt(handle))
    handles.delete(BigInt(handle))
    if (known !== undefined) koffi.free(known.memory)
  }, koffi.pointer(onClose))

  const offset = Buffer.alloc(8)
  return {
    move: (pipe, file, position, most) => {
      offset.writeBigInt64LE(BigInt(position))
      const count = Number(splice(pipe, null, file, offset, most, SPLICE_F_NONBLOCK))
      return count === -1 ? errno() : count
    },
    watch: (fd, onReadable) => {
      const memory: unknown = koffi.alloc("uint8_t", size)
      if (init(loop, memory, fd) !== 0) {
        koffi.free(memory)
        return null
      }
      let isClosed = false
      handles.set(koffi.address(memory), { memory, onReadable: () => !isClosed && onReadable() })
      return {
        awake: () => !isClosed && start(memory, readable, polled),
        sleep: () => !isClosed && stop(memory),
        close: () => {
          if (isClosed) return
          isClosed = true
          // Its memory is the event loop's until that says so.
          close(memory, closed)
        }
      }
    }
  }
}

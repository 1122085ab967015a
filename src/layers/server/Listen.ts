/** Addresses: how they are written, and how a unix socket is taken without stealing one that lives or leaving one that is dead. */
import { Effect, FileSystem, Path, Result } from "effect"
import { connect } from "node:net"
import * as Folders from "../Folders.ts"
import { InvalidArgument, PermissionDenied, Unavailable } from "../../schema/Errors.ts"

export interface Listen {
  readonly path: string
}

/** Longest path of a unix socket on Linux, without the closing zero. */
const maxSocketPath = 107

/** `unix:///run/x.sock`, `unix:/run/x.sock` or a plain absolute path. */
export const parse = (address: string): Result.Result<Listen, InvalidArgument> => {
  const invalid = (problem: string) => Result.fail(new InvalidArgument({ field: "address", problem }))
  if (/^https?:/.test(address)) return invalid(`"${address}": TCP is not served yet, use unix:///path`)
  const path = address.replace(/^unix:(?:\/\/)?/, "")
  if (!path.startsWith("/")) return invalid(`"${address}" is not unix:///absolute/path`)
  if (Buffer.byteLength(path) > maxSocketPath) return invalid(`a socket's path has at most ${maxSocketPath} bytes`)
  return Result.succeed({ path })
}

type Probe = "alive" | "dead" | "absent" | "forbidden"

/** Whether somebody answers on a unix socket. */
export const probe = (path: string): Effect.Effect<Probe> =>
  Effect.callback((resume) => {
    const socket = connect({ path })
    const end = (result: Probe) => {
      socket.destroy()
      resume(Effect.succeed(result))
    }
    socket.once("connect", () => end("alive"))
    socket.once("error", (error: NodeJS.ErrnoException) =>
      end(error.code === "ENOENT" ? "absent" : error.code === "EACCES" ? "forbidden" : "dead")
    )
    return Effect.sync(() => socket.destroy())
  })

/** Makes the folder, removes a dead socket, refuses a living one. */
export const bound = Effect.fnUntraced(function* ({ path }: Listen) {
  const fs = yield* FileSystem.FileSystem
  const { dirname } = yield* Path.Path
  yield* Folders.ensure("listen", dirname(path))
  const found = yield* probe(path)
  if (found === "alive") {
    return yield* new Unavailable({
      what: `socket ${path}`,
      problem: "another daemon answers on it",
      mend: "stop that one, or choose another --listen"
    })
  }
  if (found === "forbidden") return yield* new PermissionDenied({ problem: `no permission for the socket ${path}` })
  if (found === "dead") {
    if ((yield* fs.stat(path)).type !== "Socket") {
      return yield* new Unavailable({
        what: `socket ${path}`,
        problem: "the file is not a socket",
        mend: "choose another --listen"
      })
    }
    yield* fs.remove(path)
  }
  return { path }
})

import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { execFileSync } from "node:child_process"
import { closeSync, constants, readFileSync, readSync, statSync, writeSync } from "node:fs"
import { createConnection } from "node:net"
import { join } from "node:path"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import { maxSocketPath } from "../../../src/layers/posix/TerminalCalls.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { openTerminal, sendDescriptor } from "../../support/terminal.ts"

const code = <A, E extends { readonly code: string }>(call: Effect.Effect<A, E>) =>
  Effect.map(Effect.flip(call), (error) => error.code)
const closing = <E>(fd: Effect.Effect<number, E>) =>
  Effect.acquireRelease(fd, (fd) => Effect.ignore(Effect.try(() => closeSync(fd))))
const flagsOf = (fd: number) =>
  Number.parseInt(/flags:\s*([0-7]+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "", 8)
const closeOnExec = 0o2000000

const terminal = Effect.acquireRelease(Effect.sync(openTerminal), ({ master, slave }) =>
  Effect.sync(() => {
    closeSync(master)
    closeSync(slave)
  })
)
const stty = (slave: number, ...args: ReadonlyArray<string>) =>
  execFileSync("stty", args, { stdio: [slave, "pipe", "inherit"], encoding: "utf8" })

describe("the calls for terminals", () => {
  it.live("receive a descriptor over a socket, which programs that are started do not get", () =>
    Effect.gen(function* () {
      const libc = yield* Libc
      const path = join(yield* temporaryFolder, "socket with ü")
      const listener = yield* closing(libc.listenUnix(path))
      assert.isTrue(statSync(path).isSocket())
      assert.strictEqual(yield* code(libc.accept(listener)), "EAGAIN")
      const { master, slave } = yield* terminal
      sendDescriptor(path, master)
      const connection = yield* closing(libc.accept(listener))
      const received = Option.getOrThrow(yield* libc.receiveDescriptor(connection))
      yield* closing(Effect.succeed(received))
      assert.notStrictEqual(received, master)
      for (const fd of [listener, connection, received]) assert.strictEqual(flagsOf(fd) & closeOnExec, closeOnExec)
      stty(slave, "raw", "-echo")
      writeSync(slave, "through")
      const buffer = Buffer.alloc(16)
      assert.strictEqual(buffer.toString("utf8", 0, readSync(received, buffer)), "through")
      // The sender has closed its end: the end of file is a message without a descriptor.
      assert.isTrue(Option.isNone(yield* libc.receiveDescriptor(connection)))
    }).pipe(Effect.provide(Libc.layer))
  )

  it.live("tell a message without a descriptor, and none", () =>
    Effect.gen(function* () {
      const libc = yield* Libc
      const path = join(yield* temporaryFolder, "socket")
      const listener = yield* closing(libc.listenUnix(path))
      const client = yield* Effect.acquireRelease(
        Effect.callback<ReturnType<typeof createConnection>>((resume) => {
          const client = createConnection(path, () => resume(Effect.succeed(client)))
        }),
        (client) => Effect.sync(() => client.destroy())
      )
      const connection = yield* closing(libc.accept(listener))
      assert.strictEqual(yield* code(libc.receiveDescriptor(connection)), "EAGAIN")
      yield* Effect.callback<void>((resume) => void client.write("words", () => resume(Effect.void)))
      assert.isTrue(Option.isNone(yield* libc.receiveDescriptor(connection)))
    }).pipe(Effect.provide(Libc.layer))
  )

  it.live("refuse a path that no socket can have, and leave nothing open", () =>
    Effect.gen(function* () {
      const libc = yield* Libc
      const folder = yield* temporaryFolder
      const longest = join(folder, "x".repeat(maxSocketPath - Buffer.byteLength(folder) - 1))
      yield* closing(libc.listenUnix(longest))
      assert.strictEqual(yield* code(libc.listenUnix(`${longest}x`)), "EINVAL")
      assert.strictEqual(yield* code(libc.listenUnix(longest)), "EADDRINUSE")
      assert.strictEqual(yield* code(libc.listenUnix(join(folder, "no/such"))), "ENOENT")
    }).pipe(Effect.provide(Libc.layer))
  )

  it.live("size a terminal, and keep reads of it from waiting", () =>
    Effect.gen(function* () {
      const libc = yield* Libc
      const { master, slave } = yield* terminal
      yield* libc.setWindowSize(master, { width: 132, height: 43 })
      assert.strictEqual(stty(slave, "size"), "43 132\n")
      yield* libc.setNonBlocking(master)
      assert.throws(() => readSync(master, Buffer.alloc(1)), /EAGAIN/)
      const copy = yield* closing(libc.duplicate(master))
      assert.strictEqual(flagsOf(copy) & (closeOnExec | constants.O_NONBLOCK), closeOnExec | constants.O_NONBLOCK)
      assert.strictEqual(yield* code(libc.setWindowSize(9999, { width: 1, height: 1 })), "EBADF")
      assert.strictEqual(yield* code(libc.duplicate(9999)), "EBADF")
      assert.strictEqual(yield* code(libc.setNonBlocking(9999)), "EBADF")
    }).pipe(Effect.provide(Libc.layer))
  )

  it.live("have a terminal show what is written to it as it is, and leave its other modes alone", () =>
    Effect.gen(function* () {
      const libc = yield* Libc
      const { slave } = yield* terminal
      const before = stty(slave, "-a")
      yield* libc.disableOutputProcessing(slave)
      assert.strictEqual(stty(slave, "-a"), before.replace(/(\s)opost/, "$1-opost"))
      assert.match(before, /\sopost/)
    }).pipe(Effect.provide(Libc.layer))
  )
})

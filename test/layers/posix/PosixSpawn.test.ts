import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { closeSync, openSync, readFileSync, readdirSync, readlinkSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import * as Proc from "../../../src/layers/posix/Proc.ts"
import { actions } from "../../../src/layers/posix/PosixSpawn.ts"
import type { Program } from "../../../src/layers/posix/PosixSpawn.ts"
import { temporaryFolder } from "../../support/folder.ts"

const program: Program = {
  path: "/bin/sleep",
  args: ["100"],
  env: { PATH: "/usr/bin:/bin" },
  stdin: null,
  stdout: null,
  stderr: null
}

/** A program that runs until the scope closes. */
const started = Effect.fnUntraced(function* (changes: Partial<Program>) {
  const libc = yield* Libc
  const pid = yield* Effect.acquireRelease(libc.spawn({ ...program, ...changes }), (pid) =>
    libc.kill(pid, 9).pipe(Effect.andThen(Effect.repeat(libc.waitpid(pid), { until: Option.isSome })), Effect.orDie)
  )
  // posix_spawn returns before the kernel has closed what is close-on-exec, and then the dynamic linker opens files.
  while (!Option.exists(yield* Proc.stat(pid), ({ state }) => state === "S")) yield* Effect.yieldNow
  return pid
})

const opened = (path: string) =>
  Effect.acquireRelease(
    Effect.sync(() => openSync(path, "w")),
    (fd) => Effect.sync(() => closeSync(fd))
  )

const link = (pid: number | "self", fd: number) => readlinkSync(`/proc/${pid}/fd/${fd}`)
const descriptors = (pid: number | "self") => readdirSync(`/proc/${pid}/fd`).map(Number)
/** What this process got from whoever started it, and would hand on itself. */
const inheritable = () =>
  descriptors("self").filter((fd) => {
    try {
      const flags = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1] ?? "0"
      return (Number.parseInt(flags, 8) & 0o2000000) === 0
    } catch {
      // The folder that was listed.
      return false
    }
  })
const statusOf = (pid: number | "self", field: string) =>
  BigInt(`0x${new RegExp(`^${field}:\\s+(\\w+)`, "m").exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]}`)

const sources = [null, 0, 1, 2, 3, 4, 7]
const everyStdio = sources.flatMap((stdin) =>
  sources.flatMap((stdout) => sources.map((stderr) => [stdin, stdout, stderr] as const))
)

describe("PosixSpawn", () => {
  it("gives each descriptor its place, whatever the others are, and leaves no other open", () => {
    for (const stdio of everyStdio) {
      const table = new Map([0, 1, 2, 3, 4, 5, 6, 7].map((fd) => [fd, { is: `${fd}`, stays: fd < 3 }]))
      for (const action of actions(stdio)) {
        if (action._tag === "Copy") table.set(action.to, { is: table.get(action.from)?.is ?? "bad", stays: true })
        if (action._tag === "OpenNull") table.set(action.to, { is: "null", stays: true })
        if (action._tag === "Close") table.delete(action.fd)
      }
      assert.deepStrictEqual(
        Array.from(table)
          .filter(([, { stays }]) => stays)
          .map(([fd, { is }]) => [fd, is]),
        stdio.map((source, fd) => [fd, `${source}`])
      )
    }
  })

  it.effect("the program has the descriptors that it was given, and no other of this process", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const [a, b] = [yield* opened(join(folder, "a")), yield* opened(join(folder, "b"))]
      const server = createServer()
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => {
          server.listen(join(folder, "socket"), () => resume(Effect.void))
        }),
        () => Effect.sync(() => server.close())
      )
      const { read, write } = yield* Effect.acquireRelease((yield* Libc).pipe, ({ read, write }) =>
        Effect.sync(() => [read, write].map(closeSync))
      )
      const inherited = inheritable().filter((fd) => fd > 2)
      assert.deepStrictEqual(
        inherited.filter((fd) => [a, b, read, write].includes(fd)),
        []
      )
      assert.isAbove(descriptors("self").length, inherited.length + 6)
      for (const stdio of [
        [null, null, null],
        [a, b, null],
        [b, a, a],
        [null, a, b],
        [1, 0, 2],
        [2, 2, 0],
        [0, 1, 2],
        [1, a, 1]
      ]) {
        const [stdin = null, stdout = null, stderr = null] = stdio
        const pid = yield* started({ stdin, stdout, stderr })
        assert.deepStrictEqual(
          [0, 1, 2].map((fd) => link(pid, fd)),
          [stdin, stdout, stderr].map((fd) => (fd === null ? "/dev/null" : link("self", fd)))
        )
        assert.deepStrictEqual(descriptors(pid), [0, 1, 2, ...inherited])
      }
    }).pipe(Effect.provide(Libc.layer))
  )

  it.effect("the program ignores no signal, blocks none, and leads a session of its own", () =>
    Effect.gen(function* () {
      const SIGPIPE = 1n << 12n
      assert.strictEqual(statusOf("self", "SigIgn") & SIGPIPE, SIGPIPE)
      const pid = yield* started({})
      assert.deepStrictEqual(
        ["SigIgn", "SigBlk", "SigCgt"].map((field) => statusOf(pid, field)),
        [0n, 0n, 0n]
      )
      const [, , group, session] = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
      assert.deepStrictEqual([group, session], [`${pid}`, `${pid}`])
    }).pipe(Effect.provide(Libc.layer))
  )

  it.effect("the program has the usual umask, whatever ours is", () =>
    Effect.gen(function* () {
      yield* Effect.acquireRelease(
        Effect.sync(() => process.umask(0o077)),
        (ours) => Effect.sync(() => process.umask(ours))
      )
      const pid = yield* started({})
      assert.strictEqual(/^Umask:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1], "0022")
      assert.strictEqual(process.umask(), 0o077)
    }).pipe(Effect.provide(Libc.layer))
  )

  it.effect("the program has its arguments and its environment as they are", () =>
    Effect.gen(function* () {
      const pid = yield* started({
        path: "/bin/sh",
        args: ["-c", "sleep 100; :", "", "a b\n$(c)", "ü"],
        env: { PATH: "/bin", EMPTY: "", ODD: "a=b\nc" }
      })
      assert.deepStrictEqual(yield* Proc.argv(pid), ["/bin/sh", "-c", "sleep 100; :", "", "a b\n$(c)", "ü"])
      assert.deepStrictEqual(readFileSync(`/proc/${pid}/environ`, "utf8").split("\0").slice(0, -1), [
        "PATH=/bin",
        "EMPTY=",
        "ODD=a=b\nc"
      ])
    }).pipe(Effect.provide(Libc.layer))
  )

  it.effect("says why it cannot start a program", () =>
    Effect.gen(function* () {
      const { spawn } = yield* Libc
      const code = (changes: Partial<Program>) =>
        Effect.map(Effect.flip(spawn({ ...program, ...changes })), (error) => error.message)
      assert.strictEqual(yield* code({ path: "/nowhere/program" }), "posix_spawn: ENOENT")
      assert.strictEqual(yield* code({ path: "sleep" }), "posix_spawn: ENOENT")
      assert.strictEqual(yield* code({ path: "/etc/passwd" }), "posix_spawn: EACCES")
      assert.strictEqual(yield* code({ stdout: 9999 }), "posix_spawn: EBADF")
      assert.strictEqual(yield* code({ stderr: -1 }), "posix_spawn: EBADF")
      assert.strictEqual(yield* code({ args: ["100\0"] }), "posix_spawn: EINVAL")
      assert.strictEqual(yield* code({ env: { NAME: "a\0b" } }), "posix_spawn: EINVAL")
      assert.strictEqual(yield* code({ args: ["x".repeat(200_000)] }), "posix_spawn: E2BIG")
    }).pipe(Effect.provide(Libc.layer))
  )
})

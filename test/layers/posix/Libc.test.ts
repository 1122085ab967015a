import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Libc, exitStatus } from "../../../src/layers/posix/Libc.ts"

// No pid is as large as that: the kernel's limit is 2^22.
const nobody = 2 ** 30

describe("Libc", () => {
  it("reads status words", () => {
    assert.deepStrictEqual([0, 7 << 8, 255 << 8, 9, 15, 11 | 0x80].map(exitStatus), [0, 7, 255, 137, 143, 139])
  })

  it.effect("makes FIFOs", () =>
    Effect.gen(function* () {
      const { mkfifo } = yield* Libc
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "berth-libc-"))),
        (path) => Effect.sync(() => rmSync(path, { recursive: true }))
      )
      const path = join(folder, "fifo with blanks and ü")
      yield* mkfifo(path, 0o600)
      assert.isTrue(statSync(path).isFIFO())
      assert.strictEqual(statSync(path).mode & 0o777, 0o600)
      assert.strictEqual((yield* Effect.flip(mkfifo(path, 0o600))).message, "mkfifo: EEXIST")
      assert.strictEqual((yield* Effect.flip(mkfifo(join(folder, "no/such"), 0o600))).code, "ENOENT")
    }).pipe(Effect.provide(Libc.layer))
  )

  it.effect("names what went wrong", () =>
    Effect.gen(function* () {
      const libc = yield* Libc
      const code = <A, E extends { readonly code: string }>(call: Effect.Effect<A, E>) =>
        Effect.map(Effect.flip(call), (error) => error.code)
      assert.strictEqual(yield* code(libc.waitpid(process.pid)), "ECHILD")
      assert.strictEqual(yield* code(libc.kill(nobody, 0)), "ESRCH")
      assert.strictEqual(yield* code(libc.kill(process.pid, 65)), "EINVAL")
      assert.strictEqual(yield* code(libc.pidfdOpen(nobody)), "ESRCH")
      assert.strictEqual(yield* code(libc.pidfdSendSignal(9999, 0)), "EBADF")
      assert.strictEqual(yield* code(libc.pidfdExitStatus(9999)), "EBADF")
    }).pipe(Effect.provide(Libc.layer))
  )

  it.effect("asks many descriptors at once whether they are readable", () =>
    Effect.gen(function* () {
      const { pidfdOpen, readable } = yield* Libc
      const alive = yield* pidfdOpen(process.pid)
      // A descriptor that is not open is reported too: asking it again would be of no use.
      assert.deepStrictEqual(yield* readable([alive, 9999]), [9999])
      assert.deepStrictEqual(yield* readable([]), [])
    }).pipe(Effect.provide(Libc.layer))
  )
})

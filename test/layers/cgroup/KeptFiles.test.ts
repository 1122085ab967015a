import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import { TestClock } from "effect/testing"
import { fstatSync, readSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as KeptFiles from "../../../src/layers/cgroup/KeptFiles.ts"
import { temporaryFolder } from "../../support/folder.ts"

const buffer = Buffer.alloc(100)
const text = (fd: number) => buffer.toString("utf8", 0, readSync(fd, buffer, 0, buffer.length, 0))

/** As the kernel says that the group of an open file is gone. */
const gone = () => {
  throw Object.assign(new Error("ENODEV: no such device, read"), { code: "ENODEV" })
}

describe("KeptFiles", () => {
  it.effect("opens a file once for many reads, and again after nobody read it for a while", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "file")
      writeFileSync(path, "one")
      const file = (yield* KeptFiles.make())(path)
      for (let second = 0; second < 60; second++) {
        assert.strictEqual(file.use(text), "one")
        yield* TestClock.adjust("1 second")
      }
      assert.strictEqual(file.opened(), 1)
      yield* TestClock.adjust("20 seconds")
      writeFileSync(`${path}.new`, "two")
      renameSync(`${path}.new`, path)
      assert.strictEqual(file.use(text), "two")
      assert.strictEqual(file.opened(), 2)
      file.close()
      assert.strictEqual(file.use(text), "two")
      assert.strictEqual(file.opened(), 3)
    })
  )

  it.effect("keeps no more open than it may, and reads the others all the same", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const keep = yield* KeptFiles.make(2)
      const files = ["a", "b", "c", "d"].map((name) => {
        writeFileSync(join(folder, name), name)
        return keep(join(folder, name))
      })
      for (let time = 0; time < 3; time++) {
        assert.deepStrictEqual(
          files.map((file) => file.use(text)),
          ["a", "b", "c", "d"]
        )
      }
      assert.deepStrictEqual(
        files.map((file) => file.opened()),
        [1, 1, 3, 3]
      )
      files[0]?.close()
      assert.strictEqual(files[3]?.use(text), "d")
      assert.deepStrictEqual([files[3]?.use(text), files[3]?.opened()], ["d", 4])
    })
  )

  it.effect("finds the group that took the place of one that is gone, and keeps nothing of what fails", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "file")
      writeFileSync(path, "one")
      const file = (yield* KeptFiles.make())(path)
      let first = true
      file.use(text)
      assert.strictEqual(
        file.use((fd) => {
          if (first) {
            first = false
            return gone()
          }
          return text(fd)
        }),
        "one"
      )
      assert.strictEqual(file.opened(), 2)
      assert.throws(() => file.use(gone), /ENODEV/)
      rmSync(path)
      assert.throws(() => file.use(text), /ENOENT/)
    })
  )

  it.effect("closes everything with its scope", () =>
    Effect.gen(function* () {
      const path = join(yield* temporaryFolder, "file")
      writeFileSync(path, "one")
      const scope = yield* Scope.make()
      const open = yield* Scope.provide(KeptFiles.make(), scope)
      const fd = open(path).use((fd) => fd)
      assert.isTrue(fstatSync(fd).isFile())
      yield* Scope.close(scope, Exit.void)
      assert.throws(() => fstatSync(fd), /EBADF/)
    })
  )
})

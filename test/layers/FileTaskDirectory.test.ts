import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Option } from "effect"
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import * as FileTaskDirectory from "../../src/layers/FileTaskDirectory.ts"
import { Libc } from "../../src/layers/posix/Libc.ts"
import { ContainerId, ExecId } from "../../src/schema/Ids.ts"
import { TaskDirectory } from "../../src/services/TaskDirectory.ts"
import { temporaryFolder } from "../support/folder.ts"
import { withoutDescriptors } from "../support/noDescriptors.ts"
import { canMount, tmpfs } from "../support/tmpfs.ts"
import { exec, init, namespace, record, spec, taskDirectorySuite, web } from "../suites/taskDirectory.ts"

const layer = Layer.unwrap(Effect.map(temporaryFolder, (state) => FileTaskDirectory.layer({ state })))
const mode = (path: string) => statSync(path).mode & 0o777

describe("FileTaskDirectory", () => {
  taskDirectorySuite(layer)

  it.effect("lets only the owner look, and writes numbers as runtimes need them", () =>
    Effect.gen(function* () {
      const folders = yield* TaskDirectory
      const bundle = yield* folders.create(namespace, web, spec)
      const folder = yield* folders.prepareExec(namespace, web, ExecId.make("one"))
      yield* folders.save(record(init))
      for (const path of [bundle, dirname(bundle), dirname(dirname(bundle)), folder, dirname(folder)]) {
        assert.strictEqual(mode(path), 0o700, path)
      }
      for (const name of ["config.json", "init.json"]) assert.strictEqual(mode(join(bundle, name)), 0o600, name)
      assert.include(readFileSync(join(bundle, "config.json"), "utf8"), `"limit":9223372036854775807`)
      assert.sameMembers(readdirSync(bundle), ["config.json", "init.json", "exec"])
    }).pipe(Effect.provide(layer))
  )

  it.effect("removes all that is in a task's folder, and the namespace behind the last of them", () =>
    Effect.gen(function* () {
      const folders = yield* TaskDirectory
      const bundle = yield* folders.create(namespace, web, spec)
      yield* folders.create(namespace, ContainerId.make("db"), spec)
      const folder = yield* folders.prepareExec(namespace, web, ExecId.make("one"))
      for (const path of [join(bundle, "stdout"), join(folder, "stdin"), join(folder, "record.json~")]) {
        writeFileSync(path, "")
      }
      mkdirSync(join(bundle, "rootfs"))
      yield* folders.save(record(init))
      yield* folders.remove(init)
      assert.deepStrictEqual(readdirSync(dirname(bundle)), ["db"])
      yield* folders.remove({ ...init, containerId: ContainerId.make("db") })
      assert.isFalse(existsSync(dirname(bundle)))
    }).pipe(Effect.provide(layer))
  )

  it.effect("touches nothing in a root filesystem that is still there, and keeps the record", () =>
    Effect.gen(function* () {
      const folders = yield* TaskDirectory
      const bundle = yield* folders.create(namespace, web, spec)
      yield* folders.save(record(init))
      mkdirSync(join(bundle, "rootfs"))
      writeFileSync(join(bundle, "rootfs/precious"), "")
      assert.match((yield* Effect.flip(folders.remove(init))).message, /ENOTEMPTY/)
      assert.isTrue(existsSync(join(bundle, "rootfs/precious")))
      assert.deepStrictEqual(yield* folders.list, [record(init)])
      rmSync(join(bundle, "rootfs/precious"))
      yield* folders.remove(init)
      assert.deepStrictEqual(yield* folders.list, [])
    }).pipe(Effect.provide(layer))
  )

  it.effect("takes no record for damaged, or absent, that cannot be opened now", () =>
    Effect.gen(function* () {
      const folders = yield* TaskDirectory
      yield* folders.create(namespace, web, spec)
      yield* folders.save(record(init))
      const looks = [Effect.asVoid(folders.list), Effect.asVoid(folders.unrecorded)]
      for (const error of yield* withoutDescriptors(Effect.forEach(looks, Effect.flip))) {
        assert.match(error.message, /EMFILE/)
      }
      assert.deepStrictEqual([yield* folders.list, yield* folders.unrecorded], [[record(init)], []])
    }).pipe(Effect.provide([layer, Libc.layer]))
  )

  it.effect("skips what it cannot read, and says so", () => {
    const messages: Array<string> = []
    const logger = Logger.make(({ message }) => void messages.push(String(message)))
    return Effect.gen(function* () {
      const folders = yield* TaskDirectory
      const bundle = yield* folders.create(namespace, web, spec)
      yield* folders.prepareExec(namespace, web, ExecId.make("one"))
      for (const ref of [init, exec("one")]) yield* folders.save(record(ref))
      writeFileSync(join(bundle, "init.json"), '{"ref":')
      mkdirSync(join(dirname(bundle), "not an id"))
      assert.deepStrictEqual(yield* folders.list, [record(exec("one"))])
      assert.match(messages.join("\n"), /test\/web\b/)
      assert.strictEqual((yield* Effect.flip(folders.load(init)))._tag, "Unavailable")
      yield* folders.save(record(init))
      assert.isTrue(Option.isSome(yield* folders.load(init)))
    }).pipe(Effect.provide([layer, Logger.layer([logger])]))
  })

  it.effect("takes an empty folder for what it is: one that was being made or removed when a host died", () =>
    Effect.gen(function* () {
      const folders = yield* TaskDirectory
      mkdirSync(folders.directory(init), { recursive: true })
      assert.strictEqual(yield* folders.create(namespace, web, spec), folders.directory(init))
      assert.strictEqual((yield* Effect.flip(folders.create(namespace, web, spec)))._tag, "AlreadyExists")
    }).pipe(Effect.provide(layer))
  )

  it.effect("tells nothing of the server's paths", () =>
    Effect.gen(function* () {
      const folders = yield* TaskDirectory
      const bundle = yield* folders.create(namespace, web, spec)
      mkdirSync(join(bundle, "init.json"))
      const error = yield* Effect.flip(folders.save(record(init)))
      assert.deepInclude(error, { _tag: "Unavailable", what: "task folder", problem: "cannot save a record: EISDIR" })
      assert.notInclude(readdirSync(bundle), "init.json~")
      rmdirSync(join(bundle, "init.json"))
      yield* folders.save(record(init))
    }).pipe(Effect.provide(layer))
  )

  it.effect.runIf(canMount)("says that the disk is full, and leaves nothing half made", () =>
    Effect.gen(function* () {
      const state = yield* tmpfs("64k")
      yield* Effect.gen(function* () {
        const folders = yield* TaskDirectory
        const large = { ...spec, hostname: "x".repeat(100_000) }
        const error = yield* Effect.flip(folders.create(namespace, web, large))
        assert.deepInclude(error, { _tag: "ResourceExhausted", limit: 64 * 1024 })
        const bundle = yield* folders.create(namespace, web, spec)
        yield* folders.save(record(init, 1))
        writeFileSync(join(state, "filler"), Buffer.alloc(64 * 1024 - 4096 * 2))
        assert.strictEqual((yield* Effect.flip(folders.save(record(init, 2))))._tag, "ResourceExhausted")
        assert.deepStrictEqual(yield* folders.load(init), Option.some(record(init, 1)))
        assert.sameMembers(readdirSync(bundle), ["config.json", "init.json"])
      }).pipe(Effect.provide(FileTaskDirectory.layer({ state })))
    })
  )
})

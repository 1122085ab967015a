import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Logger, Option, Scope } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { copyFileSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { DatabaseSync } from "node:sqlite"
import { damages } from "../../../src/layers/store/Inspection.ts"
import { layer } from "../../../src/layers/store/SqliteStore.ts"
import type { SqliteStoreOptions } from "../../../src/layers/store/SqliteStore.ts"
import { ContainerId, Seq } from "../../../src/schema/Ids.ts"
import { Change, MetadataStore } from "../../../src/services/MetadataStore.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { containerOf, exitEvent, namespaceOf, processOf, startEvent, taskOf } from "../../support/records.ts"
import { canMount, tmpfs } from "../../support/tmpfs.ts"

const ns = namespaceOf()
const origin = Seq.make(0)
/** A store that lives as long as the effect that uses it. */
const using = <A, E>(options: SqliteStoreOptions | string, body: Effect.Effect<A, E, MetadataStore>) =>
  Effect.provide(body, Layer.fresh(layer(typeof options === "string" ? { filename: options } : options)))
const opening = (filename: string) => Effect.flip(using(filename, Effect.asVoid(MetadataStore)))
const commit = (changes: ReadonlyArray<Change>, events: Parameters<MetadataStore["Service"]["commit"]>[1] = []) =>
  Effect.flatMap(MetadataStore, (store) => store.commit(changes, events))
const web = [Change.InsertContainer({ container: containerOf("web") }), Change.InsertTask({ record: taskOf("web") })]
const ids = Effect.flatMap(MetadataStore, (store) =>
  Effect.map(store.containers(ns), (containers) => containers.map(({ id }) => String(id)))
)
const seqs = Effect.flatMap(MetadataStore, (store) =>
  Effect.map(store.events(origin, 1_000), (events) => events.map(({ seq }) => Number(seq)))
)

describe("SqliteStore", () => {
  it.effect("keeps everything when it is closed and opened again, and goes on with the next seq", () =>
    Effect.gen(function* () {
      const filename = join(yield* temporaryFolder, "berth.db")
      yield* using(filename, commit(web, [startEvent("web"), exitEvent("web")]))
      yield* using(
        filename,
        Effect.gen(function* () {
          const store = yield* MetadataStore
          assert.deepStrictEqual(yield* store.tasks, [{ task: taskOf("web"), processes: [] }])
          yield* commit([], [startEvent("web")])
          assert.deepStrictEqual(yield* seqs, [1, 2, 3])
        })
      )
    })
  )

  it.effect("keeps every commit when the daemon is killed", () =>
    Effect.gen(function* () {
      const path = yield* temporaryFolder
      const copy = join(path, "copy")
      mkdirSync(copy)
      const filename = join(path, "berth.db")
      yield* using(
        filename,
        Effect.gen(function* () {
          for (let count = 1; count <= 50; count++) {
            yield* commit([Change.InsertContainer({ container: containerOf(`c${count}`) })], [startEvent(`c${count}`)])
          }
          // What is on disk now is what a killed daemon leaves.
          for (const file of readdirSync(path).filter((name) => name.startsWith("berth.db"))) {
            copyFileSync(join(path, file), join(copy, file))
          }
        })
      )
      assert.include(readdirSync(copy), "berth.db-wal")
      yield* using(
        join(copy, "berth.db"),
        Effect.gen(function* () {
          assert.strictEqual((yield* ids).length, 50)
          assert.strictEqual((yield* seqs).length, 50)
        })
      )
    })
  )

  it.effect("makes files that only their owner can read, also of one that was there", () =>
    Effect.gen(function* () {
      const path = yield* temporaryFolder
      const mode = (name: string) => statSync(join(path, name)).mode & 0o777
      const before = process.umask(0)
      yield* Effect.addFinalizer(() => Effect.sync(() => process.umask(before)))
      writeFileSync(join(path, "old.db"), "", { mode: 0o644 })
      for (const name of ["new.db", "old.db"]) {
        yield* using(
          join(path, name),
          Effect.gen(function* () {
            yield* commit(web)
            assert.deepStrictEqual([mode(name), mode(`${name}-wal`)], [0o600, 0o600], name)
          })
        )
      }
    })
  )

  it.effect("lets one daemon have a root, and the next when that one is dead", () =>
    Effect.gen(function* () {
      const filename = join(yield* temporaryFolder, "berth.db")
      const inUse = { _tag: "Unavailable" as const, problem: "root is in use by another berth daemon" }
      yield* using(
        filename,
        Effect.gen(function* () {
          const refused = yield* opening(filename)
          assert.deepInclude(refused, inUse)
          assert.match((refused._tag === "Unavailable" ? refused.mend : null) ?? "", /--root/)
          yield* commit(web)
        })
      )
      // A lock of another process, which that one never gives back.
      const holder = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const script = `
            const { DatabaseSync } = require("node:sqlite")
            const database = new DatabaseSync(process.argv[1])
            database.exec("PRAGMA locking_mode = EXCLUSIVE; BEGIN IMMEDIATE; COMMIT")
            process.stdout.write("locked")
            setInterval(() => database.isOpen, 1000)`
          const child = spawn(process.execPath, ["-e", script, filename], { stdio: ["ignore", "pipe", "inherit"] })
          await once(child.stdout, "data")
          return child
        }),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      assert.deepInclude(yield* opening(filename), inUse)
      yield* Effect.promise(async () => {
        holder.kill("SIGKILL")
        await once(holder, "exit")
      })
      assert.deepStrictEqual(yield* using(filename, ids), ["web"])
    })
  )

  it.effect("says so where the file is not a database, is damaged, is of a newer berth, or cannot be made", () =>
    Effect.gen(function* () {
      const path = yield* temporaryFolder
      const check = Effect.fnUntraced(function* (name: string, problem: RegExp, mend: RegExp | null) {
        const refused = yield* opening(join(path, name))
        const found = refused._tag === "Unavailable" ? refused : assert.fail(refused._tag)
        assert.strictEqual(found.what, "store")
        assert.match(found.problem, problem)
        if (mend === null) assert.isNull(found.mend)
        else assert.match(found.mend ?? "", mend)
      })
      writeFileSync(join(path, "text.db"), "not a database, but long enough to look like one".repeat(100))
      yield* check("text.db", /cannot open .*damaged, or not a database/, /backup/)

      yield* using(join(path, "damaged.db"), commit(web))
      const size = statSync(join(path, "damaged.db")).size
      const database = new DatabaseSync(join(path, "damaged.db"))
      database.exec("PRAGMA journal_mode = DELETE")
      database.close()
      writeFileSync(join(path, "damaged.db"), Buffer.alloc(size - 100, 0xff), { flag: "r+" })
      yield* check("damaged.db", /damaged, or not a database/, /backup/)

      yield* using(join(path, "newer.db"), commit(web))
      const newer = new DatabaseSync(join(path, "newer.db"))
      newer.exec("INSERT INTO migrations (migration_id, name) VALUES (99, 'later')")
      newer.close()
      yield* check("newer.db", /newer berth \(tables 99, known up to 2\)/, /--root/)

      yield* check("missing/berth.db", /cannot open .*no such file/, null)
    })
  )

  it.effect("names a row that it cannot read, and still reads the others", () =>
    Effect.gen(function* () {
      const filename = join(yield* temporaryFolder, "berth.db")
      yield* using(
        filename,
        commit(
          [...web, ...["db", "odd"].map((name) => Change.InsertContainer({ container: containerOf(name) }))],
          [startEvent("web"), startEvent("web")]
        )
      )
      const database = new DatabaseSync(filename)
      database.exec(`
        UPDATE containers SET record = '{' WHERE id = 'db';
        UPDATE tasks SET record = json_set(record, '$.state._tag', 'Flying');
        UPDATE events SET payload = '{"topic":"/nope"}' WHERE seq = 2`)
      database.close()
      yield* using(
        filename,
        Effect.gen(function* () {
          const store = yield* MetadataStore
          const names =
            (row: string, table: string) => (error: { readonly _tag: string; readonly message: string }) => {
              assert.strictEqual(error._tag, "Unavailable")
              assert.include(error.message, `row ${row} of table ${table} cannot be read`)
            }
          names("default/db", "containers")(yield* Effect.flip(store.container(ns, ContainerId.make("db"))))
          assert.deepStrictEqual(
            (yield* store.containers(ns)).map(({ id }) => id),
            ["odd", "web"]
          )
          names("default/web", "tasks")(yield* Effect.flip(store.task(ns, ContainerId.make("web"))))
          names("2", "events")(yield* Effect.flip(store.events(origin, 10)))
          assert.isTrue(Option.isSome(yield* store.container(ns, ContainerId.make("odd"))))
          assert.strictEqual((yield* store.events(origin, 1)).length, 1)
          // Still the row's own business: it can be written over.
          yield* commit([Change.PutTask({ record: taskOf("web") })])
          assert.strictEqual((yield* store.tasks).length, 1)
        })
      )
    })
  )

  it.effect(
    "leaves out a task or a process that cannot be read, where all are read, and names them to the doctor",
    () =>
      Effect.gen(function* () {
        const filename = join(yield* temporaryFolder, "berth.db")
        const made = ["bad", "good"].flatMap((name) => [
          Change.InsertContainer({ container: containerOf(name) }),
          Change.InsertTask({ record: taskOf(name) }),
          ...["a", "b"].map((exec) => Change.InsertProcess({ record: processOf(name, exec) }))
        ])
        yield* using(filename, commit(made))
        assert.deepStrictEqual(yield* damages(filename), [])
        const database = new DatabaseSync(filename)
        database.exec(`
        UPDATE tasks SET record = '{' WHERE id = 'bad';
        UPDATE processes SET record = 'x' WHERE container_id = 'good' AND id = 'a'`)
        database.close()
        const tasks = yield* using(
          filename,
          Effect.flatMap(MetadataStore, (store) => store.tasks)
        ).pipe(Effect.provide(Logger.layer([])))
        assert.deepStrictEqual(tasks, [{ task: taskOf("good"), processes: [processOf("good", "b")] }])
        const lines = yield* damages(filename)
        assert.deepStrictEqual(
          lines.map((line) => line.split(" cannot be read")[0]),
          ["row default/bad of table tasks", "row default/good/a of table processes"]
        )
        assert.deepStrictEqual(yield* damages(`${filename}-none`), [])
      })
  )

  it.effect.runIf(canMount)("is full with its disk, loses nothing, and works again when there is room", () =>
    Effect.gen(function* () {
      const mountPoint = yield* tmpfs("1m")
      const ballast = join(mountPoint, "ballast")
      writeFileSync(ballast, Buffer.alloc(500_000))
      const scope = yield* Scope.fork(yield* Effect.scope)
      const store = yield* Effect.map(
        Layer.buildWithScope(layer({ filename: join(mountPoint, "berth.db") }), scope),
        (context) => Effect.provide(context)
      )
      const insert = (count: number) =>
        commit(
          [Change.InsertContainer({ container: containerOf(`c${count}`, "default", { padding: "x".repeat(3_000) }) })],
          [startEvent(`c${count}`)]
        ).pipe(store)
      let count = 0
      let outcome = yield* Effect.exit(insert(count))
      while (Exit.isSuccess(outcome) && count < 1_000) outcome = yield* Effect.exit(insert(++count))
      const full = yield* Effect.flip(outcome)
      assert.deepInclude(full, { _tag: "ResourceExhausted", resource: "disk", limit: 1_048_576 })
      assert.strictEqual((yield* store(ids)).length, count)
      assert.strictEqual((yield* store(seqs)).length, count)
      assert.deepInclude(yield* Effect.flip(insert(count)), { _tag: "ResourceExhausted" })
      rmSync(ballast)
      yield* insert(count)
      assert.strictEqual((yield* store(ids)).length, count + 1)
      assert.deepStrictEqual(
        yield* store(seqs),
        Array.from({ length: count + 1 }, (_, index) => index + 1)
      )
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual((yield* using(join(mountPoint, "berth.db"), ids)).length, count + 1)
    })
  )
})

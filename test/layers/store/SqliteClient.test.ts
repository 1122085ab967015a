import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Stream } from "effect"
import { SqlClient } from "effect/sql"
import { layer } from "../../../src/layers/store/SqliteClient.ts"

const run = <A, E>(body: (sql: SqlClient.SqlClient) => Effect.Effect<A, E>) =>
  Effect.gen(function* () {
    const sql = yield* SqlClient.SqlClient
    yield* sql`CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE, parent INTEGER REFERENCES t (id) DEFERRABLE INITIALLY DEFERRED)`
    return yield* body(sql)
  }).pipe(Effect.provide(Layer.fresh(layer({ filename: ":memory:" }))))

const rows = (values: ReadonlyArray<object>) => values.map((value) => ({ ...value }))

describe("SqliteClient", () => {
  it.effect("gives rows, arrays, streams, raw results and large numbers", () =>
    run(
      Effect.fnUntraced(function* (sql) {
        assert.deepStrictEqual(yield* sql`INSERT INTO t (name) VALUES (${"a"})`, [])
        yield* sql`INSERT INTO t ${sql.insert([{ name: "b" }, { name: "c" }])}`
        const all = sql<{ id: number; name: string }>`SELECT id, name FROM t ORDER BY id`
        const expected = ["a", "b", "c"].map((name, index) => ({ id: index + 1, name }))
        assert.deepStrictEqual(rows(yield* all), expected)
        assert.deepStrictEqual<unknown>(
          yield* all.values,
          expected.map(({ id, name }) => [id, name])
        )
        assert.deepStrictEqual(rows(yield* all), expected)
        assert.deepStrictEqual(rows(yield* Stream.runCollect(all.stream)), expected)
        assert.deepStrictEqual<unknown>(yield* sql`UPDATE t SET name = name || ${"!"}`.raw, {
          changes: 3,
          lastInsertRowid: 3
        })
        const one = yield* Stream.runCollect(Stream.take(all.stream, 1))
        assert.deepStrictEqual(rows(one), [{ id: 1, name: "a!" }])
        const large = sql<{
          n: unknown
        }>`SELECT ${2n ** 60n} AS n, ${null} AS none, ${true} AS yes, ${new Uint8Array([1])} AS bytes`
        const safe = yield* Effect.provideService(large, SqlClient.SafeIntegers, true)
        assert.deepStrictEqual(rows(safe), [{ n: 2n ** 60n, none: null, yes: 1, bytes: new Uint8Array([1]) }])
      })
    )
  )

  it.effect("tells violations apart, and what is wrong with a statement", () =>
    run(
      Effect.fnUntraced(function* (sql) {
        const reason = <A>(statement: Effect.Effect<A, { readonly reason: { readonly _tag: string } }>) =>
          Effect.map(Effect.flip(statement), ({ reason }) => reason._tag)
        yield* sql`INSERT INTO t (id, name) VALUES (1, 'a')`
        assert.strictEqual(yield* reason(sql`INSERT INTO t (id, name) VALUES (1, 'b')`), "UniqueViolation")
        assert.strictEqual(yield* reason(sql`INSERT INTO t (id, name) VALUES (2, 'a')`), "UniqueViolation")
        assert.strictEqual(
          yield* reason(sql`INSERT INTO t (id, name) VALUES (${{ no: "value" }}, 'b')`),
          "UnknownError"
        )
        assert.strictEqual(yield* reason(sql`SELECT * FROM nowhere`), "UnknownError")
        assert.strictEqual(yield* reason(Stream.runDrain(sql`SELECT * FROM nowhere`.stream)), "UnknownError")
      })
    )
  )

  it.effect("rolls back what fails, is interrupted, or cannot be committed, and goes on", () =>
    run(
      Effect.fnUntraced(function* (sql) {
        const insert = (name: string) => sql`INSERT INTO t (name) VALUES (${name})`
        const names = Effect.map(sql<{ name: string }>`SELECT name FROM t ORDER BY id`, (found) =>
          found.map(({ name }) => name)
        )
        yield* Effect.flip(sql.withTransaction(Effect.andThen(insert("a"), Effect.fail("no"))))
        const inside = yield* Deferred.make<void>()
        const fiber = yield* Effect.forkChild(
          sql.withTransaction(
            Effect.andThen(insert("b"), Effect.andThen(Deferred.succeed(inside, undefined), Effect.never))
          )
        )
        yield* Deferred.await(inside)
        yield* Fiber.interrupt(fiber)
        // A deferred reference to nothing is found only when the transaction ends.
        const orphan = sql.withTransaction(sql`INSERT INTO t (name, parent) VALUES ('c', 99)`)
        assert.strictEqual((yield* Effect.flip(orphan)).reason._tag, "ConstraintError")
        assert.deepStrictEqual(yield* names, [])
        yield* sql.withTransaction(
          Effect.gen(function* () {
            yield* insert("outer")
            yield* Effect.flip(sql.withTransaction(Effect.andThen(insert("inner"), Effect.fail("no"))))
            yield* sql.withTransaction(insert("kept"))
          })
        )
        assert.deepStrictEqual(yield* names, ["outer", "kept"])
      })
    )
  )

  it.effect("forgets prepared statements that are too many, and prepares them again", () =>
    run(
      Effect.fnUntraced(function* (sql) {
        for (let round = 0; round < 2; round++) {
          for (let count = 0; count < 300; count++) {
            const [row] = yield* sql.unsafe<{ n: number }>(`SELECT ${count} AS n`)
            assert.strictEqual(row?.n, count)
          }
        }
      })
    )
  )
})

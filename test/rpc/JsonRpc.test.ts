/** JSON-RPC 2.0 as its standard and other languages have it, from the text of a request to that of its answer. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import type { RpcMessage } from "effect/rpc"
import { RpcSerialization } from "effect/rpc"
import * as JsonRpc from "../../src/rpc/JsonRpc.ts"
import {
  AlreadyExists,
  BerthError,
  FailedPrecondition,
  Internal,
  InvalidArgument,
  NotFound,
  PermissionDenied,
  ResourceExhausted,
  RuntimeFailed,
  ShimLost,
  Unauthenticated,
  Unavailable,
  Unsupported,
  WaitTimeout
} from "../../src/schema/Errors.ts"

type Exit = RpcMessage.ResponseExitEncoded["exit"]
type Cause = Extract<Exit, { readonly _tag: "Failure" }>["cause"]

const encodeError = Schema.encodeSync(BerthError)
const request = (id: unknown, method = "Tasks.List", params: unknown = {}) => ({ jsonrpc: "2.0", id, method, params })
const exit = (requestId: string | number, of: Exit) => ({ _tag: "Exit", requestId, exit: of })
const success = (id: string | number, value: unknown) => exit(id, { _tag: "Success", value })
const failure = (id: string | number, error: unknown) => exit(id, { _tag: "Failure", cause: [{ _tag: "Fail", error }] })
const chunk = (requestId: string | number, ...values: ReadonlyArray<unknown>) => ({ _tag: "Chunk", requestId, values })

/** Gives a server the text and takes what it answers, as one document. */
const converse = (text: string, ...responses: ReadonlyArray<unknown>): Effect.Effect<unknown> =>
  Effect.map(RpcSerialization.RpcSerialization, (serialization) => {
    const { decode, encode } = serialization.makeUnsafe()
    try {
      decode(text)
    } catch (error) {
      const { name, message } = error instanceof Error ? error : { name: "?", message: "?" }
      responses = [{ _tag: "Defect", defect: { name, message } }]
    }
    const answer = encode(responses)
    return answer === undefined ? null : JSON.parse(answer.toString())
  }).pipe(Effect.provide(JsonRpc.layer))

const ask = (document: unknown, ...responses: ReadonlyArray<unknown>) =>
  converse(JSON.stringify(document), ...responses)
const code = (answer: unknown) =>
  typeof answer === "object" &&
  answer !== null &&
  "error" in answer &&
  typeof answer.error === "object" &&
  answer.error !== null
    ? ["code" in answer.error ? answer.error.code : null, "id" in answer ? answer.id : "none"]
    : answer

describe("an answer", () => {
  it.effect("has the id of its request, as it was", () =>
    Effect.gen(function* () {
      for (const id of [1, 0, -5, 1.5, "a", ""]) {
        assert.deepStrictEqual(yield* ask(request(id), success(id, [])), { jsonrpc: "2.0", id, result: [] })
      }
      assert.deepStrictEqual(yield* ask(request(null), success("", [])), { jsonrpc: "2.0", id: null, result: [] })
    })
  )

  it.effect("to a stream that is to be followed is a refusal, with the id", () =>
    Effect.gen(function* () {
      for (const method of ["Tasks.Output", "Events.Subscribe"]) {
        const answer = yield* ask(request("a", method, { id: "web", follow: true }))
        assert.deepStrictEqual(code(answer), [-32602, "a"])
        assert.match(JSON.stringify(answer), /"_tag":"InvalidArgument","field":"params.follow"/)
      }
      const once = request(1, "Tasks.Output", { id: "web", follow: false })
      assert.deepStrictEqual(yield* ask(once, chunk(1, "x"), success(1, null)), {
        jsonrpc: "2.0",
        id: 1,
        result: ["x"]
      })
    })
  )

  it.effect("to a notification is none", () =>
    Effect.gen(function* () {
      assert.isNull(yield* ask({ jsonrpc: "2.0", method: "Tasks.List" }))
      assert.isNull(yield* ask([{ jsonrpc: "2.0", method: "Tasks.List" }]))
    })
  )

  it.effect("to a batch is one array, of as many answers as there were ids; also to a batch of one", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* ask([request(1)], success(1, [])), [{ jsonrpc: "2.0", id: 1, result: [] }])
      const both = [request(1), { jsonrpc: "2.0", method: "Tasks.List" }, request("two")]
      assert.deepStrictEqual(yield* ask(both, success("two", "b"), success(1, "a")), [
        { jsonrpc: "2.0", id: "two", result: "b" },
        { jsonrpc: "2.0", id: 1, result: "a" }
      ])
    })
  )

  it.effect("of a stream is all its items at once, in order, also where there are none", () =>
    Effect.gen(function* () {
      const stream = request(1, "Events.Subscribe")
      const items = { jsonrpc: "2.0", id: 1, result: ["a", "b", "c"] }
      assert.deepStrictEqual(yield* ask(stream, chunk(1, "a", "b"), chunk(1, "c"), success(1, null)), items)
      assert.deepStrictEqual(yield* ask(stream, success(1, null)), { ...items, result: [] })
      assert.deepStrictEqual(yield* ask([stream], chunk(1, "a"), success(1, null)), [{ ...items, result: ["a"] }])
      const two = [stream, request(2), request("s", "Tasks.Output", { id: "web" })]
      const mixed = yield* ask(
        two,
        chunk(1, "a"),
        chunk("s", "x"),
        success(2, null),
        chunk(1, "b"),
        success("s", null),
        success(1, null)
      )
      assert.deepInclude(mixed, { jsonrpc: "2.0", id: 1, result: ["a", "b"] })
      assert.deepInclude(mixed, { jsonrpc: "2.0", id: "s", result: ["x"] })
      assert.deepInclude(mixed, { jsonrpc: "2.0", id: 2, result: null })
    })
  )

  it.effect("of a stream that fails is its error, not what came before", () =>
    Effect.gen(function* () {
      const error = encodeError(new NotFound({ kind: "task", id: "web" }))
      const answer = yield* ask(request(1, "Tasks.Output", { id: "web" }), chunk(1, "a"), failure(1, error))
      assert.deepStrictEqual(code(answer), [-32000, 1])
    })
  )
})

describe("an error", () => {
  const runtimeFailed = {
    runtime: "runc",
    command: "create",
    exitCode: 1,
    reason: "failed",
    detail: "no",
    log: []
  } as const
  const table: ReadonlyArray<readonly [BerthError, number]> = [
    [new NotFound({ kind: "method", id: "Nope" }), -32601],
    [new NotFound({ kind: "task", id: "web" }), -32000],
    [new InvalidArgument({ field: "params", problem: "no" }), -32602],
    [new Internal({ reference: "abc" }), -32603],
    [new AlreadyExists({ kind: "task", id: "web" }), -32000],
    [new FailedPrecondition({ operation: "start", found: "stopped", allowed: ["created"] }), -32000],
    [new Unsupported({ driver: "runc", capability: "x" }), -32000],
    [new WaitTimeout({ id: "web", milliseconds: 5 }), -32000],
    [new RuntimeFailed(runtimeFailed), -32000],
    [new ShimLost({ problem: "gone" }), -32000],
    [new ResourceExhausted({ resource: "disk", limit: 1 }), -32000],
    [new Unauthenticated(), -32000],
    [new PermissionDenied({ problem: "no" }), -32000],
    [new Unavailable({ what: "store", problem: "gone", mend: null }), -32000]
  ]
  for (const [error, code] of table) {
    it.effect(`${error._tag} is ${code}, with its message, and itself as the data`, () =>
      Effect.gen(function* () {
        const data = encodeError(error)
        const answer = yield* ask(request(1), failure(1, data))
        assert.deepStrictEqual(answer, { jsonrpc: "2.0", id: 1, error: { code, message: error.message, data } })
      })
    )
  }

  it("covers every error that there is", () => {
    assert.deepStrictEqual(
      Array.from(new Set(table.map(([{ _tag }]) => _tag))).sort(),
      BerthError.members
        .map((member) => member.fields._tag.ast)
        .map((ast) => ("literal" in ast ? String(ast.literal) : "?"))
        .sort()
    )
  })

  it.effect("that is none of ours is an internal one, without a word of it", () =>
    Effect.gen(function* () {
      const causes: ReadonlyArray<Cause> = [
        [{ _tag: "Die", defect: "secret" }],
        [{ _tag: "Fail", error: { _tag: "Secret" } }],
        []
      ]
      for (const cause of causes) {
        const answer = yield* ask(request(1), exit(1, { _tag: "Failure", cause }))
        assert.deepStrictEqual(answer, { jsonrpc: "2.0", id: 1, error: { code: -32603, message: "internal error" } })
      }
      const defect = { _tag: "Defect", defect: { name: "TypeError", message: "secret", stack: "secret" } }
      assert.deepStrictEqual(code(yield* ask(request(1), defect)), [-32603, null])
      assert.notInclude(JSON.stringify(yield* ask(request(1), defect)), "secret")
    })
  )
})

describe("what is no request is refused as a whole, with no id", () => {
  const refused: Record<string, string> = {
    null: "null",
    "a number": "42",
    "a text": '"x"',
    "an empty batch": "[]",
    "a batch of none": "[1, 2]",
    "a batch with one that is none": JSON.stringify([request(1), 5]),
    "no method": JSON.stringify({ jsonrpc: "2.0", id: 1 }),
    "a method that is no text": JSON.stringify({ ...request(1), method: 5 }),
    "an id that is none": JSON.stringify(request({ a: 1 })),
    "headers that are none": JSON.stringify({ ...request(1), headers: 5 }),
    "two with one id": JSON.stringify([request(1), request(1)]),
    "null and nothing for ids": JSON.stringify([request(null), request("")])
  }
  for (const [name, text] of Object.entries(refused)) {
    it.effect(name, () =>
      Effect.map(converse(text, success(1, [])), (answer) => assert.deepStrictEqual(code(answer), [-32600, null]))
    )
  }

  for (const text of ["", "what?", "{", '{"jsonrpc":"2.0",}']) {
    it.effect(`${JSON.stringify(text)} is not JSON`, () =>
      Effect.map(converse(text), (answer) => assert.deepStrictEqual(code(answer), [-32700, null]))
    )
  }
})

/** What passes the last gate of a server, as a table of what comes to it. */
import { assert, describe, it } from "@effect/vitest"
import type { RpcMessage } from "effect/rpc"
import { scrub } from "../../src/rpc/Answers.ts"

type Exit = RpcMessage.ResponseExitEncoded["exit"]
type Cause = Extract<Exit, { readonly _tag: "Failure" }>["cause"]

const exit = (of: Exit): RpcMessage.FromServerEncoded => ({ _tag: "Exit", requestId: "1", exit: of })
const failed = (...cause: ReadonlyArray<Cause[number]>) => exit({ _tag: "Failure", cause: [...cause] })
const typed = { _tag: "NotFound", kind: "task", id: "web" }
const fail = { _tag: "Fail", error: typed } as const
const die = (defect: unknown) => ({ _tag: "Die", defect }) as const
const interrupt = { _tag: "Interrupt", fiberId: 7 } as const
const error = {
  name: "TypeError",
  message: "secret at /usr/lib/secret.js:1",
  stack: "secret\n    at secret (/secret.js:1:1)"
}

/** The error that is left, which must be all that is left. */
const answer = (response: RpcMessage.FromServerEncoded): unknown => {
  const scrubbed = scrub(response)
  assert.notInclude(JSON.stringify(scrubbed), "secret")
  if (scrubbed._tag !== "Exit" || scrubbed.exit._tag !== "Failure") return scrubbed
  assert.strictEqual(scrubbed.requestId, "1")
  assert.deepStrictEqual(
    scrubbed.exit.cause.map(({ _tag }) => _tag),
    ["Fail"]
  )
  const [only] = scrubbed.exit.cause
  return only?._tag === "Fail" ? only.error : null
}

const internal = { _tag: "Internal", reference: "request" }
const invalid = (problem: string) => ({ _tag: "InvalidArgument", field: "params", problem })
const table: Record<string, readonly [RpcMessage.FromServerEncoded, unknown]> = {
  "a typed error": [failed(fail), typed],
  "a typed error, and a defect of what cleaned up after it": [failed(fail, die(error)), typed],
  "a defect of what cleaned up, before its typed error": [failed(die(error), interrupt, fail), typed],
  "a defect": [failed(die(error)), internal],
  "a defect that is no error": [failed(die({ secret: "secret" })), internal],
  "a defect of nothing": [failed(die(null)), internal],
  "an interrupted defect": [failed(interrupt, die(error)), internal],
  "a payload that cannot be decoded": [
    failed(die('Expected string\n  at ["id"]')),
    invalid('Expected string at ["id"]')
  ],
  "a method that does not exist": [
    failed(die("Unknown request tag: Nope")),
    { _tag: "NotFound", kind: "method", id: "Nope" }
  ],
  "an interruption": [
    failed(interrupt),
    { _tag: "Unavailable", what: "daemon", problem: "the call was cut off", mend: "try again" }
  ],
  "a cause of nothing": [
    failed(),
    { _tag: "Unavailable", what: "daemon", problem: "the call was cut off", mend: "try again" }
  ]
}

describe("scrub", () => {
  for (const [name, [response, expected]] of Object.entries(table)) {
    it(name, () => {
      assert.deepStrictEqual(answer(response), expected)
    })
  }

  it("lets pass what is no failure, as it is", () => {
    const others: ReadonlyArray<RpcMessage.FromServerEncoded> = [
      exit({ _tag: "Success", value: { any: "thing" } }),
      { _tag: "Chunk", requestId: "1", values: [1, 2] },
      { _tag: "Pong" }
    ]
    for (const other of others) assert.strictEqual(scrub(other), other)
  })
})

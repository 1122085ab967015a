/** `berth doctor`: whether this machine has what berth needs, and what to type where it has not. */
import { Effect } from "effect"
import { Command } from "effect/cli"
import { Connection } from "../Connection.ts"
import { root, wantsJson } from "../Globals.ts"
import { Output } from "../Output.ts"
import { Exited } from "../output/Failure.ts"
import * as Json from "../output/Json.ts"
import { type Cell, render } from "../output/Table.ts"
import type { Check } from "../doctor/Checks.ts"

const mark = ({ found, needed }: Check): Cell =>
  found
    ? { text: "ok", color: "green" }
    : needed
      ? { text: "MISSING", color: "red" }
      : { text: "missing", color: "yellow" }

const toCells = (check: Check): ReadonlyArray<Cell> => [
  check.name,
  mark(check),
  check.version ?? "-",
  [check.missing, check.mend].filter((text) => text !== null).join("; try: ")
]

export const doctor = Command.make("doctor", {}, () =>
  Effect.gen(function* () {
    const { address, token } = yield* root
    const connection = yield* Connection
    const { gather } = yield* Effect.promise(() => import("../doctor/Facts.ts"))
    const { all, isFit } = yield* Effect.promise(() => import("../doctor/Checks.ts"))
    const checks = all(yield* gather(address, connection.to({ address, token: token === "" ? undefined : token })))
    const fit = isFit(checks)
    const output = yield* Output
    if (yield* wantsJson) yield* output.write(Json.document({ fit, checks: checks.map((check) => ({ ...check })) }))
    else {
      yield* output.write(render(["WHAT", "", "VERSION", "LACKING"], checks.map(toCells), output.colors))
      yield* output.write(fit ? "\nberth can run here.\n" : "\nberth cannot run here.\n")
    }
    if (!fit) return yield* new Exited({ code: 1 })
  })
).pipe(
  Command.withDescription("Check what berth needs of this machine, and say what mends it"),
  Command.withExamples([
    { command: "berth doctor" },
    { command: "berth doctor --json | jq '.checks[] | select(.found | not)'" }
  ])
)

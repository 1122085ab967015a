/** `berth doctor`: whether this machine has what berth needs, what crashes left on it, and what to type about either. */
import { Effect, Path } from "effect"
import { Command, Flag } from "effect/cli"
import type { Orphan } from "../../schema/Orphan.ts"
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

/** What is left, or was, in the words of whoever has to decide about it. */
const orphanCells = ({ fate, kind, owner, path, reason }: Orphan): ReadonlyArray<Cell> => [
  kind,
  owner === null ? "-" : `${owner.namespace}/${owner.containerId}`,
  { text: fate, color: fate === "removed" ? "green" : "yellow" },
  path,
  reason ?? ""
]

const folder = (name: string, absent: string, what: string) =>
  Flag.String(name).pipe(
    Flag.withMetavar("<DIR>"),
    Flag.withDescription(`${what} folder of the daemon, where none answers; default ${absent}`),
    Flag.withDefault(absent)
  )

const flags = {
  repair: Flag.Boolean("repair").pipe(
    Flag.withoutNegation,
    Flag.withDefault(false),
    Flag.withDescription("Remove what crashes have left behind and nobody has any more")
  ),
  root: folder("root", "/var/lib/berth", "Durable"),
  state: folder("state", "/run/berth", "Volatile")
}

export const doctor = Command.make("doctor", flags, ({ repair, ...folders }) =>
  Effect.gen(function* () {
    const path = yield* Path.Path
    const cleaning = { repair, root: path.resolve(folders.root), state: path.resolve(folders.state) }
    const { address, token } = yield* root
    const connection = yield* Connection
    const { gather } = yield* Effect.promise(() => import("../doctor/Facts.ts"))
    const { all, isFit } = yield* Effect.promise(() => import("../doctor/Checks.ts"))
    const facts = yield* gather(address, connection.to({ address, token: token === "" ? undefined : token }), cleaning)
    const checks = all(facts)
    const orphans = facts.orphans.found
    const fit = isFit(checks)
    const output = yield* Output
    if (yield* wantsJson) {
      const copies = orphans.map(({ owner, ...rest }) => ({ ...rest, owner: owner === null ? null : { ...owner } }))
      yield* output.write(Json.document({ fit, checks: checks.map((check) => ({ ...check })), orphans: copies }))
    } else {
      yield* output.write(render(["WHAT", "", "VERSION", "LACKING"], checks.map(toCells), output.colors))
      if (orphans.length > 0) {
        const header = ["LEFTOVER", "CONTAINER", "", "WHERE", "WHY"]
        yield* output.write(`\n${render(header, orphans.map(orphanCells), output.colors)}`)
      }
      yield* output.write(fit ? "\nberth can run here.\n" : "\nberth cannot run here.\n")
    }
    if (!fit) return yield* new Exited({ code: 1 })
  })
).pipe(
  Command.withDescription("Check what berth needs of this machine, and say what mends it"),
  Command.withExamples([
    { command: "berth doctor" },
    { command: "berth doctor --repair", description: "Remove what crashes have left behind" },
    { command: "berth doctor --json | jq '.checks[] | select(.found | not)'" }
  ])
)

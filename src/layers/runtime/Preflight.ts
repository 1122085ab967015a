/** What a daemon says of its runtime before it is ready. Only a runtime that cannot be meant stops it: containers that run need their daemon, whatever is broken. */
import { Effect } from "effect"
import { Unavailable } from "../../schema/Errors.ts"
import type { RuntimeName } from "../../schema/Ids.ts"
import { OciRuntime } from "../../services/OciRuntime.ts"

const auto = "auto"

/** Fails where there is no such runtime here, and warns where there is one that does not work. */
export const check = Effect.fn("Preflight.check")(function* (name: RuntimeName) {
  const { driver, list } = yield* OciRuntime
  const known = yield* list
  const found = known.find((info) => info.name === name)
  if (name !== auto && found === undefined) {
    const names = known.map((info) => info.name).join(", ")
    const mend = `--runtime auto, or one of ${names}; others are named in the file of --config`
    return yield* new Unavailable({ what: `runtime "${name}"`, problem: "no runtime has this name", mend })
  }
  if (found?.available === false && found.problem !== null && found.binary === null) {
    return yield* new Unavailable({ what: `runtime "${name}"`, problem: found.problem, mend: found.mend })
  }
  yield* Effect.catch(Effect.asVoid(driver(name)), ({ mend, problem, what }) =>
    Effect.logWarning(`no container can be run by default: ${what}: ${problem}${mend === null ? "" : `; try: ${mend}`}`)
  )
  if (found?.available === true && !found.capabilities.includes("isolation")) {
    yield* Effect.logWarning(`runtime "${name}" isolates nothing: containers are plain processes of this machine`)
  }
})

/**
 * Whether processes of the host may be started: a file in the state folder, which the daemon keeps as it was told, and
 * which it and its shim look at each time. A shim outlives daemons, so it could not be told at its start.
 */
import { Effect } from "effect"
import { existsSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Unavailable } from "../../schema/Errors.ts"
import { codeOf } from "../posix/Libc.ts"

const fileOf = (state: string) => join(state, "host-driver-enabled")

export const isEnabled = (state: string): boolean => existsSync(fileOf(state))

export const set = (state: string, enabled: boolean): Effect.Effect<void, Unavailable> =>
  Effect.try({
    try: () => (enabled ? writeFileSync(fileOf(state), "", { mode: 0o600 }) : rmSync(fileOf(state), { force: true })),
    catch: (error) => new Unavailable({ what: "state folder", problem: `${state}: ${codeOf(error)}`, mend: null })
  })

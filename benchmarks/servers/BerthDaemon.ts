/** berth's own daemon, as users run it: the bundle in a process of its own, which starts its shim. */
import { Effect } from "effect"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { Failure } from "../Failure.ts"
import type { Folders } from "../Workspace.ts"
import { serve } from "./Server.ts"

const bundle = fileURLToPath(new URL("../../dist/berth.js", import.meta.url))

/** The socket of a daemon that lives as long as the scope. */
export const start = Effect.fnUntraced(function* (node: string, { durable, volatile }: Folders, runtime: string) {
  if (!existsSync(bundle))
    return yield* new Failure({ what: "daemon", problem: `no bundle in dist: run "npm run build"` })
  const socket = join(volatile, "berth.sock")
  yield* serve({
    what: "daemon",
    program: node,
    args: [
      bundle,
      "daemon",
      "--root",
      durable,
      "--state",
      volatile,
      "--listen",
      `unix://${socket}`,
      "--runtime",
      runtime
    ],
    socket,
    log: join(durable, "daemon.log")
  })
  return socket
})

/** Commands about the daemon itself: `runtimes`, `info`, `version`. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import type { Unavailable } from "../../schema/Errors.ts"
import { System } from "../../services/System.ts"
import { connected, wantsJson } from "../Globals.ts"
import { line, Output } from "../Output.ts"
import * as Json from "../output/Json.ts"
import { pairs, render } from "../output/Table.ts"
import { ago } from "../output/Time.ts"
import { version as clientVersion } from "../../version.ts"

export const runtimes = Command.make("runtimes", {}, () =>
  connected(
    Effect.gen(function* () {
      const drivers = yield* (yield* System).runtimes
      const output = yield* Output
      if (yield* wantsJson) return yield* output.write(Json.document(drivers.map((driver) => Json.driver(driver))))
      const rows = drivers.map((driver) => [
        driver.default ? `${driver.name} *` : driver.name,
        driver.available ? { text: "yes", color: "green" as const } : { text: "no", color: "red" as const },
        driver.version ?? "-",
        driver.binary ?? "-",
        driver.available
          ? driver.capabilities.join(",")
          : [driver.problem ?? "", driver.mend ?? ""].filter((text) => text !== "").join("; ")
      ])
      yield* output.write(render(["NAME", "WORKS", "VERSION", "BINARY", "CAPABILITIES"], rows, output.colors))
    })
  )
).pipe(
  Command.withDescription("List the runtimes with what they can do; * is the default"),
  Command.withExamples([{ command: "berth runtimes" }])
)

export const info = Command.make("info", {}, () =>
  connected(
    Effect.gen(function* () {
      const server = yield* (yield* System).info
      const output = yield* Output
      if (yield* wantsJson) return yield* output.write(Json.document(Json.serverInfo(server)))
      const now = yield* DateTime.now
      yield* output.write(
        pairs([
          ["Version", server.version],
          ["Process", `${server.pid}`],
          ["Started", ago(server.startedAt, now)],
          ["Node", server.node],
          ["Kernel", server.kernel],
          ["Control groups", server.cgroup],
          ["Default runtime", server.defaultRuntime ?? "none"],
          ["Durable state", server.root],
          ["Volatile state", server.state]
        ])
      )
    })
  )
).pipe(Command.withDescription("Show the daemon and its machine"), Command.withExamples([{ command: "berth info" }]))

export const version = Command.make("version", {}, () =>
  connected(
    Effect.gen(function* () {
      const system = yield* System
      const server = yield* system.info.pipe(
        Effect.map((info): string | null => info.version),
        Effect.catchIf(
          (error): error is Unavailable => error._tag === "Unavailable",
          () => Effect.succeed(null)
        )
      )
      if (yield* wantsJson) {
        return yield* (yield* Output).write(
          Json.document({ client: clientVersion, server, node: process.versions.node })
        )
      }
      yield* line(`berth ${clientVersion}`)
      yield* line(server === null ? "daemon: not reachable" : `daemon ${server}`)
    })
  )
).pipe(
  Command.withDescription("Show the versions of this command and of the daemon"),
  Command.withExamples([{ command: "berth version --json" }])
)

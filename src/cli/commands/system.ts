/** Commands about the daemon itself: `runtimes`, `info`, `version`. */
import { DateTime, Effect } from "effect"
import { Command } from "effect/cli"
import type { Unavailable } from "../../schema/Errors.ts"
import type { DriverInfo } from "../../schema/Runtime.ts"
import { System } from "../../services/System.ts"
import { connected, wantsJson } from "../Globals.ts"
import { line, Output } from "../Output.ts"
import * as Json from "../output/Json.ts"
import { type Cell, pairs, render } from "../output/Table.ts"
import { ago } from "../output/Time.ts"
import { version as clientVersion } from "../../version.ts"

/** A driver that makes mere processes says so first. */
const capabilities = (driver: DriverInfo): Cell =>
  driver.capabilities.includes("isolation")
    ? driver.capabilities.join(",")
    : { text: ["NOT ISOLATED", ...driver.capabilities].join(","), color: "yellow" }

export const runtimes = Command.make("runtimes", {}, () =>
  connected(
    Effect.gen(function* () {
      const system = yield* System
      const [drivers, { defaultRuntime }] = yield* Effect.all([system.runtimes, system.info], {
        concurrency: "unbounded"
      })
      const output = yield* Output
      const isUsual = ({ name }: DriverInfo) => name === defaultRuntime
      if (yield* wantsJson) {
        const documents = drivers.map((driver) => ({ ...Json.driver(driver), daemonDefault: isUsual(driver) }))
        return yield* output.write(Json.document(documents))
      }
      const used = (driver: DriverInfo) =>
        [...(driver.default ? ["auto"] : []), ...(isUsual(driver) ? ["default"] : [])].join(", ")
      const rows = drivers.map((driver) => [
        driver.name,
        used(driver),
        driver.available ? { text: "yes", color: "green" as const } : { text: "no", color: "red" as const },
        driver.version ?? "-",
        driver.binary ?? "-",
        driver.available
          ? capabilities(driver)
          : [driver.problem ?? "", driver.mend ?? ""].filter((text) => text !== "").join("; ")
      ])
      yield* output.write(
        render(["NAME", "USED FOR", "WORKS", "VERSION", "BINARY", "CAPABILITIES"], rows, output.colors)
      )
    })
  )
).pipe(
  Command.withDescription(
    "List the runtimes with what they can do, what auto takes, and what the daemon takes by default"
  ),
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
          ["Volatile state", server.state],
          ...(server.shim == null
            ? []
            : [
                [
                  "Shim",
                  `${server.shim.version} (protocol ${server.shim.protocol}), process ${server.shim.pid}`
                ] as const
              ])
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

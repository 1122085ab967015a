/** Runs the command line in this process: its ports made of Node's streams, signals and files, and a daemon reached over its socket. */
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import * as NodeStdio from "@effect/platform-node/NodeStdio"
import { Effect, Exit, Layer, Runtime } from "effect"
import { main } from "./Cli.ts"
import { Connection } from "./Connection.ts"
import { Output } from "./Output.ts"
import { Signals } from "./Signals.ts"
import { Tty } from "./terminal/Tty.ts"

const connection = Layer.succeed(Connection)({
  to: (target) =>
    Layer.unwrap(
      Effect.gen(function* () {
        const { layerClient } = yield* Effect.promise(() => import("../layers/Client.ts"))
        return layerClient(target)
      })
    )
})

const ports = Layer.mergeAll(
  Output.layer,
  Signals.layer,
  Tty.layer,
  connection,
  NodeFileSystem.layer,
  NodePath.layer,
  NodeStdio.layer
)

const endings = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 } as const

/** Ends the process with the exit code of the command. */
export const start = (args: ReadonlyArray<string>): void => {
  let ended = 0
  const runMain = Runtime.makeRunMain(({ fiber, teardown }) => {
    for (const [name, number] of Object.entries(endings)) {
      process.on(name, () => {
        // A command that takes signals has a listener of its own.
        if (process.listenerCount(name) > 1) return
        ended = number
        fiber.interruptUnsafe(fiber.id)
      })
    }
    fiber.addObserver((exit) => teardown(exit, (code) => process.exit(code)))
  })
  runMain(Effect.provide(main(args), ports), {
    disableErrorReporting: true,
    teardown: (exit, onExit) => onExit(Exit.isSuccess(exit) ? Number(exit.value) : ended > 0 ? 128 + ended : 125)
  })
}

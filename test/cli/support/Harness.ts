/** Runs the command line inside the test: captured output, given input, signals by hand, a fake daemon. */
import { ConfigProvider, Effect, Layer, Queue, Stdio, Stream } from "effect"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { main } from "../../../src/cli/Cli.ts"
import { Connection, type Target } from "../../../src/cli/Connection.ts"
import { Output, OutputClosed } from "../../../src/cli/Output.ts"
import { Signals } from "../../../src/cli/Signals.ts"
import { FakeDaemon } from "./FakeDaemon.ts"

export interface Options {
  readonly daemon?: FakeDaemon
  readonly stdin?: ReadonlyArray<string | Uint8Array>
  readonly env?: { readonly [name: string]: string }
  readonly colors?: boolean
  /** After so many writes nobody reads standard output any more. */
  readonly closeAfter?: number
  readonly signals?: Queue.Queue<number>
}

export interface Outcome {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
  readonly targets: ReadonlyArray<Target>
  readonly daemon: FakeDaemon
}

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const toText = (data: string | Uint8Array) => (typeof data === "string" ? data : decoder.decode(data))

/** The exit code and what was printed. */
export const berth = (args: ReadonlyArray<string>, options: Options = {}): Effect.Effect<Outcome> =>
  Effect.gen(function* () {
    const daemon = options.daemon ?? new FakeDaemon()
    const targets: Array<Target> = []
    let stdout = ""
    let stderr = ""
    let writes = 0
    const output = Output.of({
      write: (data) =>
        Effect.suspend(() => {
          if (options.closeAfter !== undefined && ++writes > options.closeAfter) return Effect.fail(new OutputClosed())
          stdout += toText(data)
          return Effect.void
        }),
      writeError: (data) => Effect.sync(() => void (stderr += toText(data))),
      colors: options.colors ?? false
    })
    const connection = Connection.of({
      to: (target) => {
        targets.push(target)
        return daemon.layer
      }
    })
    const input = (options.stdin ?? []).map((piece) => (typeof piece === "string" ? encoder.encode(piece) : piece))
    const ports = Layer.mergeAll(
      Layer.succeed(Output, output),
      Layer.succeed(Connection, connection),
      Layer.succeed(Signals)({
        take: options.signals === undefined ? Queue.unbounded<number>() : Effect.succeed(options.signals)
      }),
      Stdio.layerTest({ stdin: Stream.fromIterable(input) }),
      NodeFileSystem.layer,
      NodePath.layer,
      ConfigProvider.layer(ConfigProvider.fromUnknown(options.env ?? {}))
    )
    const code = yield* Effect.provide(main(args), ports)
    return { code, stdout, stderr, targets, daemon }
  })

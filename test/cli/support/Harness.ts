/** Runs the command line inside the test: captured output, given input, signals by hand, a fake daemon. */
import { ConfigProvider, Effect, Layer, Queue, Stdio, Stream } from "effect"
import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import * as NodePath from "@effect/platform-node/NodePath"
import { main } from "../../../src/cli/Cli.ts"
import { Connection, type Target } from "../../../src/cli/Connection.ts"
import { Output, OutputClosed } from "../../../src/cli/Output.ts"
import { Signals } from "../../../src/cli/Signals.ts"
import { Tty } from "../../../src/cli/terminal/Tty.ts"
import type { TerminalSize } from "../../../src/schema/Process.ts"
import { FakeDaemon } from "./FakeDaemon.ts"

export interface Options {
  readonly daemon?: FakeDaemon
  readonly stdin?: ReadonlyArray<string | Uint8Array>
  readonly env?: { readonly [name: string]: string }
  readonly colors?: boolean
  /** After so many writes nobody reads standard output any more. */
  readonly closeAfter?: number
  /** Nobody reads what processes print on standard error. */
  readonly errorClosed?: boolean
  readonly signals?: Queue.Queue<number>
  /** The terminal that the command is started in; none by default. */
  readonly tty?: FakeTty
}

/** A terminal to start the command in. */
export class FakeTty {
  size: TerminalSize | null = { width: 80, height: 24 }
  /** Changes of its size. */
  readonly changes = Effect.runSync(Queue.unbounded<TerminalSize>())
  /** What is typed, byte by byte as it comes. */
  readonly keys = Effect.runSync(Queue.unbounded<Uint8Array>())
  /** Every change of its mode. */
  readonly modes: Array<"raw" | "restored"> = []

  readonly type = (text: string) => Queue.offer(this.keys, encoder.encode(text))

  readonly resize = (size: TerminalSize) =>
    Effect.suspend(() => {
      this.size = size
      return Queue.offer(this.changes, size)
    })

  readonly service = Tty.of({
    isInput: true,
    size: Effect.sync(() => this.size),
    sizes: Stream.suspend(() =>
      Stream.concat(Stream.fromIterable(this.size === null ? [] : [this.size]), Stream.fromQueue(this.changes))
    ),
    raw: Effect.asVoid(
      Effect.acquireRelease(
        Effect.sync(() => this.modes.push("raw")),
        () => Effect.sync(() => this.modes.push("restored"))
      )
    )
  })
}

const noTty = Tty.of({ isInput: false, size: Effect.succeed(null), sizes: Stream.empty, raw: Effect.void })

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
    const write = (data: string | Uint8Array) =>
      Effect.suspend(() => {
        if (options.closeAfter !== undefined && ++writes > options.closeAfter) return Effect.fail(new OutputClosed())
        stdout += toText(data)
        return Effect.void
      })
    const writeError = (data: string | Uint8Array) => Effect.sync(() => void (stderr += toText(data)))
    const output = Output.of({
      write,
      writeError,
      copy: (stream, bytes) =>
        stream === "stdout"
          ? write(bytes)
          : options.errorClosed === true
            ? Effect.fail(new OutputClosed())
            : writeError(bytes),
      colors: options.colors ?? false,
      isTerminal: options.tty !== undefined
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
      Layer.succeed(Tty, options.tty?.service ?? noTty),
      Stdio.layerTest({
        stdin: options.tty === undefined ? Stream.fromIterable(input) : Stream.fromQueue(options.tty.keys)
      }),
      NodeFileSystem.layer,
      NodePath.layer,
      ConfigProvider.layer(ConfigProvider.fromUnknown(options.env ?? {}))
    )
    const code = yield* Effect.provide(main(args), ports)
    return { code, stdout, stderr, targets, daemon }
  })

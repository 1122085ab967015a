/**
 * The terminal that the command itself was started in: whether there is one, its size, its raw mode. What is typed there is read as standard input, like any
 * other input.
 */
import { Context, Effect, Layer, Queue, Stream } from "effect"
import type { Scope } from "effect"
import { isatty } from "node:tty"
import type { TerminalSize } from "../../schema/Process.ts"

export class Tty extends Context.Service<
  Tty,
  {
    /** Whether standard input is a terminal. */
    readonly isInput: boolean
    /** Its size now; `null` where no terminal shows what the command prints, or it does not know its size. */
    readonly size: Effect.Effect<TerminalSize | null>
    /** Its size now, then every change. */
    readonly sizes: Stream.Stream<TerminalSize>
    /** For as long as the scope is open every key reaches standard input, and what is printed is shown as it is. */
    readonly raw: Effect.Effect<void, never, Scope.Scope>
  }
>()("berth/cli/terminal/Tty") {
  /** The terminal of this process. */
  static readonly layer = Layer.sync(Tty, () => {
    const shown = [process.stdout, process.stderr].find(({ isTTY }) => isTTY)
    const size = (): TerminalSize | null => {
      const [width, height] = shown?.getWindowSize() ?? [0, 0]
      return width > 0 && height > 0 ? { width, height } : null
    }
    const sizes = Stream.callback<TerminalSize>(
      (queue) => {
        const tell = () => {
          const now = size()
          if (now !== null) Queue.offerUnsafe(queue, now)
        }
        const listen = Effect.sync(() => {
          shown?.on("resize", tell)
          tell()
        })
        return Effect.acquireRelease(listen, () => Effect.sync(() => shown?.off("resize", tell)))
      },
      // Only the last size counts.
      { bufferSize: 1, strategy: "sliding" }
    )
    const keys = Effect.acquireRelease(
      Effect.sync(() => {
        // A terminal that has gone away tells of it when it is to be restored.
        process.stdin.on("error", () => {})
        process.stdin.setRawMode(true)
      }),
      () => Effect.sync(() => process.stdin.setRawMode(false))
    )
    /** Node's raw mode leaves this to the terminal; a full-screen program that moves by newlines alone would be torn to steps. It is restored with the rest. */
    const output = Effect.gen(function* () {
      const { Libc } = yield* Effect.promise(() => import("../../layers/posix/Libc.ts"))
      yield* Effect.ignore(Libc.use((libc) => libc.disableOutputProcessing(0)).pipe(Effect.provide(Libc.layer)))
    })
    return Tty.of({
      isInput: isatty(0),
      size: Effect.sync(size),
      sizes,
      raw: Effect.andThen(keys, output)
    })
  })
}

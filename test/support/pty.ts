/** A person at a terminal: the real command in a real pseudo-terminal, what it shows, and keys to press. */
import { Effect } from "effect"
import { spawn } from "node-pty"

const readable = (text: string) => JSON.stringify(text.slice(-2000))

/** Runs a program in a pseudo-terminal of its own; it is hung up with the scope. */
export const inTerminal = Effect.fnUntraced(function* (
  file: string,
  args: ReadonlyArray<string>,
  options: { readonly cols?: number; readonly rows?: number; readonly env?: Readonly<Record<string, string>> } = {}
) {
  const { cols = 80, env = {}, rows = 24 } = options
  let text = ""
  let seen = 0
  let code: number | null = null
  const changed = new Set<() => void>()
  const change = () => {
    for (const tell of changed) tell()
  }
  const terminal = yield* Effect.acquireRelease(
    Effect.sync(() => {
      const pty = spawn(file, [...args], { cols, rows, cwd: "/", env: { ...process.env, TERM: "xterm", ...env } })
      pty.onData((data) => {
        text += data
        change()
      })
      pty.onExit(({ exitCode, signal }) => {
        code = signal === undefined || signal === 0 ? exitCode : 128 + signal
        change()
      })
      return pty
    }),
    (pty) => Effect.ignore(Effect.try(() => pty.kill("SIGKILL")))
  )

  /** Completes when the condition holds; fails with what is shown where it does not in time. */
  const until = (what: string, condition: () => boolean) =>
    Effect.callback<void>((resume) => {
      const look = () => {
        if (!condition()) return
        changed.delete(look)
        resume(Effect.void)
      }
      changed.add(look)
      look()
      return Effect.sync(() => changed.delete(look))
    }).pipe(
      Effect.timeoutOrElse({
        duration: "15 seconds",
        orElse: () =>
          Effect.die(new Error(`no ${what} in ${readable(text.slice(seen))}, shown before ${readable(text)}`))
      })
    )

  return {
    pid: terminal.pid,
    /** Everything that was ever shown. */
    text: () => text,
    type: (keys: string) => Effect.sync(() => terminal.write(keys)),
    resize: (width: number, height: number) => Effect.sync(() => terminal.resize(width, height)),
    /** Waits until something new is shown that matches, and takes what was shown up to its end as seen. */
    shows: (wanted: string | RegExp) => {
      const pattern = typeof wanted === "string" ? new RegExp(wanted.replaceAll(/[\\^$.*+?()[\]{}|]/g, "\\$&")) : wanted
      return Effect.gen(function* () {
        yield* until(String(wanted), () => pattern.test(text.slice(seen)))
        const [found = "", ...groups] = pattern.exec(text.slice(seen)) ?? []
        seen += text.slice(seen).indexOf(found) + found.length
        return groups
      })
    },
    /** The exit code, or 128 + signal. */
    ended: Effect.map(
      until("end", () => code !== null),
      () => code
    )
  }
})

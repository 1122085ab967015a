/** The built command as a process of its own, as a shell starts it. */
import { Deferred, Effect } from "effect"
import { spawn } from "node:child_process"
import { berth } from "../../support/daemon.ts"

export interface Outcome {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export interface Options {
  readonly address: string
  readonly stdin?: string | Uint8Array
  readonly env?: Readonly<Record<string, string>>
  /** Runs under this user id. */
  readonly uid?: number
}

/** A command that runs; it is killed with the scope where it has not ended. */
export const start = (args: ReadonlyArray<string>, options: Options) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const child = spawn(berth, args, {
        env: { ...process.env, BERTH_ADDRESS: options.address, ...options.env },
        stdio: ["pipe", "pipe", "pipe"],
        ...(options.uid === undefined ? {} : { uid: options.uid, gid: options.uid })
      })
      // The command need not read what it is given.
      child.stdin.on("error", () => {})
      const text = { stdout: "", stderr: "" }
      child.stdout.setEncoding("utf8").on("data", (piece) => (text.stdout += piece))
      child.stderr.setEncoding("utf8").on("data", (piece) => (text.stderr += piece))
      if (options.stdin !== undefined) child.stdin.end(options.stdin)
      // Listened to from the beginning: the command may end while the test does something else.
      const ended = Deferred.makeUnsafe<Outcome>()
      child.once("close", (code) =>
        Deferred.doneUnsafe(
          ended,
          Effect.sync(() => ({ code, ...text }))
        )
      )
      return { child, text, ended }
    }),
    ({ child }) => Effect.sync(() => void child.kill("SIGKILL"))
  )

/** Waits for the end of a command. */
export const finish = ({ ended }: { readonly ended: Deferred.Deferred<Outcome> }) => Deferred.await(ended)

/** Runs a command to its end. */
export const run = (args: ReadonlyArray<string>, options: Options) =>
  Effect.scoped(Effect.flatMap(start(args, { stdin: "", ...options }), finish))

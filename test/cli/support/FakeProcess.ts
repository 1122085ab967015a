/** A process of the fake daemon: a script of one command, with the output that it has printed. */
import { DateTime, Deferred, Effect, Stream } from "effect"
import type { OciProcess } from "../../../src/schema/OciSpec.ts"
import { defaultStdio } from "../../../src/schema/Process.ts"
import type { Exit, OutputChunk, Stdio } from "../../../src/schema/Process.ts"
import type { OutputRequest } from "../../../src/schema/Requests.ts"
import * as OutputTail from "../../../src/services/OutputTail.ts"
import { leaveOut } from "../../../src/services/OutputTail.ts"

/** When everything happens. */
export const at = DateTime.makeUnsafe("2026-01-01T00:00:00Z")

const none = () => ({ stdout: 0, stderr: 0 })
const reaped = { source: "reaped", oomCount: 0, memoryPeak: null } as const
const bytes = new TextEncoder()

/** One process: what it is to do is in its arguments. */
export class Running {
  readonly args: ReadonlyArray<string>
  readonly stdio: Stdio
  readonly pid: number
  readonly terminal: boolean
  status: "created" | "running" | "paused" | "stopped" = "created"
  exit: Exit | null = null
  oomCount = 0
  readonly ended = Deferred.makeUnsafe<Exit>()
  readonly chunks: Array<OutputChunk> = []
  changed = Deferred.makeUnsafe<void>()
  input = ""

  constructor(process: OciProcess | undefined, stdio: Stdio = defaultStdio, pid = 500) {
    this.args = process?.args ?? []
    this.terminal = process?.terminal === true
    this.stdio = stdio
    this.pid = pid
  }

  print(stream: "stdout" | "stderr", data: string) {
    this.chunks.push({ stream, at, bytes: bytes.encode(data) })
    const { changed } = this
    this.changed = Deferred.makeUnsafe()
    Deferred.doneUnsafe(changed, Effect.void)
  }

  end(id: string, exitStatus: number) {
    if (this.exit !== null) return
    this.status = "stopped"
    this.exit = { id, pid: this.pid, exitStatus, exitedAt: at, oomKilled: false, ...reaped }
    Deferred.doneUnsafe(this.ended, Effect.succeed(this.exit))
    Deferred.doneUnsafe(this.changed, Effect.void)
  }

  /**
   * `echo WORDS`, `warn WORDS` and `exit N` end at once; `cat` ends with its input; `shell` prints what is typed and ends
   * at ctrl-D; anything else runs until it is killed.
   */
  begin(id: string) {
    this.status = "running"
    const [program, ...words] = this.args
    if (program === "shell") this.print("stdout", "$ ")
    if (program === "echo") this.print("stdout", `${words.join(" ")}\n`)
    if (program === "warn") this.print("stderr", `${words.join(" ")}\n`)
    if (program === "echo" || program === "warn") this.end(id, 0)
    if (program === "exit") this.end(id, Number(words[0]))
  }

  type(id: string, data: string) {
    this.input += data
    if (this.args[0] !== "shell") return
    this.print("stdout", data)
    if (data.includes("\u0004")) this.end(id, 0)
  }

  output({ follow = false, live = false, since, stream, tail }: OutputRequest): Stream.Stream<OutputChunk> {
    const empty: OutputChunk = { stream: "stdout", at, bytes: new Uint8Array() }
    const { from, skip } = tail === undefined ? { from: live ? this.chunks.length : 0, skip: none() } : this.#tail(tail)
    const rest = this.#output(follow, from).pipe(
      Stream.flatMap((chunk) => Stream.fromIterable([leaveOut(skip, chunk)].filter((each) => each !== null))),
      Stream.filter((chunk) => stream === undefined || chunk.stream === stream),
      Stream.filter((chunk) => since === undefined || DateTime.isGreaterThanOrEqualTo(chunk.at, since))
    )
    return live ? Stream.prepend(rest, [empty]) : rest
  }

  #tail(count: number) {
    const counter = OutputTail.make(count)
    let from = this.chunks.length
    while (count > 0 && from > 0 && !counter.add(this.chunks[--from]));
    return { from, skip: counter.skip() }
  }

  #output(follow: boolean, from: number): Stream.Stream<OutputChunk> {
    return Stream.unfold(from, (index) =>
      Effect.gen({ self: this }, function* () {
        while (follow && index >= this.chunks.length && this.exit === null) yield* Deferred.await(this.changed)
        const chunk = this.chunks[index]
        return chunk === undefined ? undefined : ([chunk, index + 1] as const)
      })
    )
  }
}

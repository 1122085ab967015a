/** What the numbers were measured on. */
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { cpus, release, totalmem } from "node:os"
import { delimiter, join } from "node:path"

export interface Machine {
  readonly cpu: string
  readonly cpus: number
  readonly memoryGb: number
  readonly kernel: string
  readonly node: string
  /** Share of all processors that others used in the second before the run. */
  readonly busyPercent: number
}

/** Where a program is on PATH, or null. */
export const find = (program: string): string | null =>
  (process.env["PATH"] ?? "")
    .split(delimiter)
    .concat("/usr/local/sbin", "/usr/sbin", "/sbin")
    .map((folder) => join(folder, program))
    .find((path) => existsSync(path)) ?? null

/** The first number with dots of what `--version` prints. */
export const versionOf = (program: string): string => {
  const text = execFileSync(program, ["--version"], { encoding: "utf8" })
  return /\d+(?:\.\d+)+/.exec(text)?.[0] ?? "of unknown version"
}

const ticks = () => {
  const fields = (readFileSync("/proc/stat", "utf8").split("\n")[0] ?? "").trim().split(/\s+/).slice(1).map(Number)
  const [, , , idle = 0, iowait = 0] = fields
  return { idle: idle + iowait, all: fields.reduce((sum, value) => sum + value, 0) }
}

export const describe = Effect.gen(function* () {
  const before = ticks()
  yield* Effect.sleep("1 second")
  const after = ticks()
  const machine: Machine = {
    cpu: cpus()[0]?.model ?? "unknown",
    cpus: cpus().length,
    memoryGb: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.versions.node,
    busyPercent: Math.round(100 - (100 * (after.idle - before.idle)) / Math.max(1, after.all - before.all))
  }
  return machine
})

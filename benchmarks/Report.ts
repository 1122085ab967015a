/** Results as people and programs read them. */
import type { Machine } from "./Machine.ts"
import type { StepName, TargetName } from "./Protocol.ts"
import { stepNames } from "./Protocol.ts"
import type { Memory, Row, Section } from "./Section.ts"
import type { Summary } from "./Statistics.ts"
import { summary } from "./Statistics.ts"

interface Together {
  readonly perSecond: number
  /** How many times the time of the bare runtime it takes for the same number. */
  readonly ratio: number | null
  readonly latency: Summary
}

interface Result {
  readonly target: TargetName
  readonly label: string
  readonly total: Summary
  readonly ratio: number | null
  readonly steps: { readonly [step in StepName]?: Summary }
  readonly together: Together | null
  readonly memory: Memory | null
}

export interface Report {
  readonly runtime: string
  readonly version: string
  readonly results: ReadonlyArray<Result>
  /** The medians of the bare runtime's rounds: how far the machine itself moved. */
  readonly bareRounds: { readonly min: number; readonly max: number } | null
  readonly skipped: ReadonlyArray<string>
}

const totals = (rounds: Row["alone"]) => rounds.flatMap(({ samples }) => samples.map(({ total }) => total))

const stepsOf = (row: Row) => {
  const steps: { [step in StepName]?: Summary } = {}
  for (const step of stepNames) {
    const values = row.alone.flatMap(({ samples }) => samples.flatMap((sample) => sample[step] ?? []))
    if (values.length > 0) steps[step] = summary(values)
  }
  return steps
}

const perSecond = (rounds: Row["together"]) =>
  (1000 * rounds.reduce((sum, { samples }) => sum + samples.length, 0)) /
  rounds.reduce((sum, { milliseconds }) => sum + milliseconds, 0)

/** Sums a section up; ratios are of medians, and of throughput the other way round, so that more is always slower. */
export const make = ({ rows, runtime, skipped, version }: Section): Report => {
  const bare = rows.find(({ target }) => target === "bare")
  const floor = bare === undefined ? null : summary(totals(bare.alone)).p50
  const fastest = bare === undefined || bare.together.length === 0 ? null : perSecond(bare.together)
  const medians = (bare?.alone ?? []).map((round) => summary(totals([round])).p50)
  return {
    runtime,
    version,
    skipped,
    bareRounds: medians.length === 0 ? null : { min: Math.min(...medians), max: Math.max(...medians) },
    results: rows.map((row) => {
      const total = summary(totals(row.alone))
      const speed = perSecond(row.together)
      return {
        target: row.target,
        label: row.label,
        total,
        ratio: floor === null ? null : total.p50 / floor,
        steps: stepsOf(row),
        together:
          row.together.length === 0
            ? null
            : {
                perSecond: speed,
                ratio: fastest === null ? null : fastest / speed,
                latency: summary(totals(row.together))
              },
        memory: row.memory
      }
    })
  }
}

const fixed = (value: number | null | undefined, digits = 1) => (value == null ? "" : value.toFixed(digits))

/** Columns as wide as what is in them, the first to the left and the others to the right. */
const align = (lines: ReadonlyArray<ReadonlyArray<string>>): string => {
  const columns = lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? []
  const pad = (cell: string, column: number) =>
    column === 0 ? cell.padEnd(columns[column] ?? 0) : cell.padStart(columns[column] ?? 0)
  return lines.map((line) => line.map(pad).join("  ").trimEnd()).join("\n")
}

/** One table; milliseconds, lifecycles a second, megabytes. Steps are medians. */
export const table = ({ bareRounds, results, runtime, skipped, version }: Report, concurrency: number): string => {
  const held = results.find(({ memory }) => memory !== null)?.memory?.containers
  const headings = [
    `${runtime} ${version}`,
    "p50 ms",
    "p95",
    "mean",
    "× bare",
    ...stepNames,
    ...(concurrency > 0 ? [`/s at ${concurrency}`, "× bare"] : []),
    ...(held === undefined ? [] : ["MB idle", `with ${held}`])
  ]
  const lines = results.map(({ label, memory, ratio, steps, together, total }) => [
    label,
    fixed(total.p50),
    fixed(total.p95),
    fixed(total.mean),
    fixed(ratio, 2),
    ...stepNames.map((step) => fixed(steps[step]?.p50)),
    ...(concurrency > 0 ? [fixed(together?.perSecond), fixed(together?.ratio, 2)] : []),
    ...(held === undefined ? [] : [fixed(memory?.idle), fixed(memory?.held)])
  ])
  const noise =
    bareRounds === null
      ? []
      : [`bare medians moved from ${fixed(bareRounds.min)} to ${fixed(bareRounds.max)} ms between rounds`]
  return [align([headings, ...lines]), ...noise, ...skipped.map((reason) => `skipped ${reason}`)].join("\n")
}

/** One line: how many times the bare runtime. */
export const verdict = ({ results, runtime }: Report): string => {
  const others = results.filter(({ target }) => target !== "bare")
  const parts = others.map(({ label, ratio, total }) =>
    ratio === null ? `${label} ${fixed(total.p50)} ms` : `${label} ${fixed(ratio, 2)} × bare`
  )
  const together = others.flatMap(({ label, together }) =>
    together === null || together.ratio === null ? [] : [`${label} ${fixed(together.ratio, 2)}`]
  )
  return `${runtime}: ${parts.join(", ")}${together.length === 0 ? "" : `; at once: ${together.join(", ")}`}`
}

/** The machine in one line. */
export const machineLine = (machine: Machine): string =>
  `${machine.cpus} × ${machine.cpu}, ${machine.memoryGb} GB, Linux ${machine.kernel}, Node ${machine.node}; ` +
  `${machine.busyPercent} % busy with other things`

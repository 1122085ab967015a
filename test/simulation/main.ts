/** `npm run sim -- --seed N` replays one seed, line by line; `--seeds M` runs as many from there and prints totals. `--store sqlite` takes the real database. */
import { parseArgs } from "node:util"
import { faults } from "./Faults.ts"
import { names } from "./Operations.ts"
import type { Result } from "./Simulation.ts"
import { run } from "./Simulation.ts"

const { values } = parseArgs({
  options: {
    seed: { type: "string", default: "1" },
    seeds: { type: "string" },
    steps: { type: "string", default: "240" },
    store: { type: "string", default: "memory" },
    help: { type: "boolean", default: false }
  }
})

const usage = "npm run sim -- [--seed N] [--seeds M] [--steps S] [--store memory|sqlite]\n"
const number = (name: string, text: string, least: number): number => {
  const value = Number(text)
  if (Number.isSafeInteger(value) && value >= least) return value
  process.stderr.write(`--${name}: "${text}" is not a whole number from ${least} on\n${usage}`)
  process.exit(1)
}

/** What a seed must hold to count: of a shorter or calmer story the absence of violations says little. */
const least = { steps: 200, faults: 5 }

/** Seeds between two words on how far it is. */
const progress = 250

const sum = (numbers: ReadonlyArray<number>) => numbers.reduce((total, each) => total + each, 0)
const faultsOf = ({ faults }: Result) => sum(Array.from(faults.values()))
const print = (...cells: ReadonlyArray<string | number>) =>
  process.stdout.write(
    `${cells.map((cell, index) => (index === 0 ? `${cell}`.padEnd(20) : `${cell}`.padStart(9))).join("")}\n`
  )

const table = (results: ReadonlyArray<Result>, seconds: number): void => {
  const spread = (name: string, numbers: ReadonlyArray<number>) => print(name, sum(numbers), Math.min(...numbers))
  print("", "total", "least")
  print("seeds", results.length)
  spread(
    "steps",
    results.map(({ steps }) => steps)
  )
  spread("faults", results.map(faultsOf))
  print("turns", sum(results.map(({ turns }) => turns)))
  print("events", sum(results.map(({ events }) => events)))
  print("unknown exits", sum(results.map(({ unknown }) => unknown)))
  print("seconds", seconds.toFixed(1))
  process.stdout.write("\n")
  print("fault", "times")
  for (const fault of faults) print(fault, sum(results.map((result) => result.faults.get(fault) ?? 0)))
  process.stdout.write("\n")
  print("operation", "ok", "refused", "lost")
  for (const name of names) {
    const found = results.flatMap(({ operations }) => operations.get(name) ?? [])
    print(
      name,
      sum(found.map(({ ok }) => ok)),
      sum(found.map(({ refused }) => refused)),
      sum(found.map(({ lost }) => lost))
    )
  }
  process.stdout.write("\n")
}

if (values.help) {
  process.stdout.write(usage)
  process.exit(0)
}
if (values.store !== "memory" && values.store !== "sqlite") {
  process.stderr.write(`--store: "${values.store}" is neither memory nor sqlite\n${usage}`)
  process.exit(1)
}
const { store } = values
const first = number("seed", values.seed, 0)
const steps = number("steps", values.steps, 1)
const count = values.seeds === undefined ? 1 : number("seeds", values.seeds, 1)
const replay = values.seeds === undefined
// Traces of errors that are answers cost a third of the time, and nobody reads them.
if (!replay) Error.stackTraceLimit = 0
const begin = performance.now()
const results: Array<Result> = []
for (let seed = first; seed < first + count; seed++) {
  const watch = replay ? { watch: (line: string) => void process.stdout.write(`${line}\n`) } : {}
  const result = run({ seed, steps, store, ...watch })
  // The traces of thousands of seeds would not fit into memory.
  results.push({ ...result, trace: [] })
  if (!replay && results.length % progress === 0) process.stderr.write(`${results.length} of ${count} seeds\n`)
  for (const violation of result.violations) {
    process.stdout.write(
      `seed ${seed}: ${violation}\n  npm run sim -- --seed ${seed} --steps ${steps} --store ${store}\n`
    )
  }
}
process.stdout.write("\n")
table(results, (performance.now() - begin) / 1000)
const bad = results.filter(({ violations }) => violations.length > 0)
const thin = results.filter((result) => result.steps < least.steps || faultsOf(result) < least.faults)
print("violations", sum(bad.map(({ violations }) => violations.length)))
print("seeds that failed", bad.length)
print(`seeds with under ${least.steps} steps or ${least.faults} faults`, thin.length)
process.exitCode = bad.length === 0 && (replay || thin.length === 0) ? 0 : 1

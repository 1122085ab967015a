/**
 * How long a container's life takes, side by side in one run: the runtime's bare binary, berth inside the app, berth
 * through its daemon, and containerd. It prints and writes what it found; it judges nothing.
 */
import { Console, DateTime, Effect, Result } from "effect"
import { mkdirSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { Failure, attempt } from "./Failure.ts"
import * as Machine from "./Machine.ts"
import * as Main from "./Main.ts"
import * as Options from "./Options.ts"
import * as Report from "./Report.ts"
import * as Section from "./Section.ts"

const results = fileURLToPath(new URL("./results/", import.meta.url))

const save = Effect.fnUntraced(function* (file: string | null, content: (date: string) => object) {
  const date = DateTime.formatIso(yield* DateTime.now)
  const path = file ?? join(results, `lifecycle-${date.slice(0, 19).replaceAll(":", "")}.json`)
  yield* attempt("results", () => {
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, `${JSON.stringify(content(date), null, 2)}\n`)
  })
  yield* Console.log(`results in ${path}`)
})

const bench = Effect.gen(function* () {
  const options = yield* Options.parse(process.argv.slice(2))
  if (options === null) return yield* Console.log(Options.usage)
  yield* Main.root("containers need root: sudo npm run bench")
  const machine = yield* Machine.describe
  yield* Console.log(Report.machineLine(machine))

  const reports: Array<Report.Report> = []
  const failures: Array<Failure> = []
  for (const runtime of options.runtimes) {
    const binary = Machine.find(runtime)
    if (binary === null) {
      yield* Console.log(`\nskipped ${runtime}: not installed (Debian: apt-get install ${runtime})`)
      continue
    }
    const measured = yield* Effect.result(Section.measure(options, runtime, binary))
    if (Result.isFailure(measured)) {
      failures.push(measured.failure)
      yield* Console.error(`bench: ${measured.failure.message}`)
      continue
    }
    const report = Report.make(measured.success)
    reports.push(report)
    yield* Console.log(`\n${Report.table(report, options.concurrency)}`)
  }
  if (reports.length === 0 && failures.length === 0) {
    return yield* new Failure({ what: "--runtimes", problem: "none of them is installed" })
  }
  yield* Console.log("")
  yield* save(options.json, (date) => ({
    date,
    machine,
    options,
    reports,
    failures: failures.map(({ message }) => message)
  }))
  for (const report of reports) yield* Console.log(Report.verdict(report))
  if (failures.length > 0) {
    return yield* new Failure({
      what: "result",
      problem: `${failures.length} of ${options.runtimes.length} runtimes failed`
    })
  }
})

Main.run(bench)

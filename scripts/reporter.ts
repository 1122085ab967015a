/** Says `tests: N passed, N failed, N skipped` as the last line of a test run, whatever else went wrong in it. */
import type { Reporter, TestModule } from "vitest/node"

export default class CountReporter implements Reporter {
  readonly #count = { passed: 0, failed: 0, skipped: 0 }

  /** On the way out of the process, because other reporters and vitest itself write after the end of the run. */
  onInit() {
    process.once("exit", () => {
      const { failed, passed, skipped } = this.#count
      process.stdout.write(`tests: ${passed} passed, ${failed} failed, ${skipped} skipped\n`)
    })
  }

  /** A file that did not load and an error that belongs to no test are failures too: they fail the run. */
  onTestRunEnd(modules: ReadonlyArray<TestModule>, unhandledErrors: ReadonlyArray<unknown>) {
    this.#count.failed += unhandledErrors.length
    for (const module of modules) {
      const before = this.#count.failed
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        this.#count[state === "pending" ? "skipped" : state] += 1
      }
      if (module.state() === "failed" && this.#count.failed === before) this.#count.failed += 1
    }
  }
}

import { defineConfig } from "vitest/config"

/** Real containers, processes killed at random: one file at a time, and after all the others. */
const alone = ["test/integration/**/*.test.ts", "test/chaos/**/*.test.ts", "test/examples/**/*.test.ts"]

export default defineConfig({
  test: {
    pool: "forks",
    testTimeout: 30_000,
    hookTimeout: 30_000,
    reporters: ["default", "./scripts/reporter.ts"],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          maxWorkers: "100%",
          sequence: { groupOrder: 1 },
          include: ["test/**/*.test.ts"],
          exclude: alone
        }
      },
      {
        extends: true,
        test: { name: "alone", include: alone, fileParallelism: false, sequence: { groupOrder: 2 } }
      }
    ]
  }
})

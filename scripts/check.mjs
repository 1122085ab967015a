#!/usr/bin/env node
/** What can be told without running the project: types, lint, format, imports. Runs them all, and fails if any did. */
import { spawnSync } from "node:child_process"
import { existsSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

const root = fileURLToPath(new URL("..", import.meta.url))
const bin = (name) => join(root, "node_modules/.bin", name)

/** The compiler that also knows Effect's own mistakes, where there is one for this machine; else the plain one. */
const compiler = () => {
  const { version } = JSON.parse(readFileSync(join(root, "node_modules/typescript/package.json"), "utf8"))
  const forEffect = join(root, `node_modules/@effect/tsgo-linux-x64/artifacts/typescript/${version}/tsc`)
  return existsSync(forEffect) ? forEffect : bin("tsc")
}

const checks = [
  { name: "types", command: compiler(), args: ["--noEmit", "-p", "."] },
  { name: "lint", command: bin("oxlint"), args: ["--type-aware", "--format", "unix"] },
  { name: "format", command: bin("oxfmt"), args: ["--check"], mend: "npm run format" },
  { name: "imports", command: process.execPath, args: [join(root, "scripts/check-imports.mjs")] }
]

const failed = checks.filter(({ name, command, args, mend }) => {
  const start = performance.now()
  const { status, error } = spawnSync(command, args, { cwd: root, stdio: "inherit" })
  if (error) console.error(error.message)
  const seconds = ((performance.now() - start) / 1000).toFixed(1)
  console.error(
    status === 0 ? `check: ${name} ok, ${seconds} s` : `check: ${name} FAILED${mend ? `, mend with: ${mend}` : ""}`
  )
  return status !== 0
})
process.exitCode = failed.length === 0 ? 0 : 1

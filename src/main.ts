/**
 * The entry of the program `berth`: checks Node, gives the command line its ports, runs it, and ends with its exit code. A signal that no command takes
 * ends it as the signal itself would.
 */
import module from "node:module"
import { homedir } from "node:os"
import { join } from "node:path"

const leastNode = 24

if (Number(process.versions.node.split(".")[0]) < leastNode) {
  process.stderr.write(`berth: node ${process.versions.node}: too old (install Node.js ${leastNode} or newer)\n`)
  process.exit(125)
}

// Compiling is most of the start-up time. The cache is the user's own: a shared folder would let others plant code.
module.enableCompileCache(join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "berth"))

if (process.argv[2] === "shim") {
  process.argv.splice(2, 1)
  await import("./shim/main.ts")
} else {
  const { start } = await import("./cli/Start.ts")
  start(process.argv.slice(2))
}

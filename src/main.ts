/** The entry of the program `berth`. The shim is told apart first: it is started often, and has no need of the command line. */
if (process.argv[2] === "shim") {
  process.argv.splice(2, 1)
  await import("./shim/main.ts")
} else {
  const { start } = await import("./cli/Start.ts")
  start(process.argv.slice(2))
}

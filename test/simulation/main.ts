import { run } from "./Simulation.ts"
const [from = "1", count = "1", store = "memory"] = process.argv.slice(2)
const t = performance.now()
for (let s = Number(from); s < Number(from) + Number(count); s++) {
  const r = run({
    seed: s,
    store: store === "sqlite" ? "sqlite" : "memory",
    ...(count === "1" ? { watch: (l: string) => console.log(l) } : {})
  })
  if (r.violations.length || count === "1")
    console.log(s, r.turns, r.events, r.steps, Object.fromEntries(r.faults), r.violations)
}
console.log(performance.now() - t)

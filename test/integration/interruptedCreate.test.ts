/** A `create` that is cut short, at any moment, or that the runtime refuses leaves no process, no cgroup and no state of the runtime's. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option } from "effect"
import { existsSync, readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import { Children } from "../../src/layers/posix/Children.ts"
import { Libc } from "../../src/layers/posix/Libc.ts"
import * as Proc from "../../src/layers/posix/Proc.ts"
import * as OciDriver from "../../src/layers/runtime/OciDriver.ts"
import { RuntimeName } from "../../src/schema/Ids.ts"
import * as OciJson from "../../src/schema/OciJson.ts"
import type { OciSpec } from "../../src/schema/OciSpec.ts"
import { temporaryFolder } from "../support/folder.ts"
import { bundleSpec, busyboxRootfs, canRunContainers, installed } from "../support/rootfs.ts"
import { stubTarget } from "../support/stubRuntime.ts"

const ports = Children.layer.pipe(Layer.provideMerge(Libc.layer))
const nothing = { stdin: null, stdout: null, stderr: null }
const cgroupRoot = "/sys/fs/cgroup"

const cgroupsOf = (id: string) =>
  [".", ...readdirSync(cgroupRoot)].filter((hierarchy) => existsSync(join(cgroupRoot, hierarchy, `berth-test-${id}`)))

/** Our children that live, as arguments. */
const living = Effect.gen(function* () {
  const alive: Array<string> = []
  for (const pid of yield* Proc.children) {
    const found = yield* Proc.stat(pid)
    if (Option.exists(found, (stat) => !Proc.isDead(stat))) alive.push((yield* Proc.argv(pid)).join(" "))
  }
  return alive
})

const place = Effect.fnUntraced(function* (runtime: string, binary: string, grace: 0 | "2 seconds") {
  yield* (yield* Libc).setChildSubreaper
  const folder = yield* temporaryFolder
  const rootfs = yield* busyboxRootfs
  const root = join(folder, "state")
  const driver = yield* OciDriver.make({
    info: {
      name: RuntimeName.make(runtime),
      binary,
      version: null,
      capabilities: [],
      available: true,
      problem: null,
      mend: null,
      default: false
    },
    binary,
    root,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
    grace
  })
  return { driver, folder, root, rootfs }
})

const cut = Effect.fnUntraced(function* (runtime: string, binary: string, grace: string, rounds: number) {
  const { driver, folder, root, rootfs } = yield* place(runtime, binary, grace === "none" ? 0 : "2 seconds")
  for (let round = 0; round < rounds; round++) {
    const id = `cut-${runtime}-${process.pid}-${grace}-${round}`
    const target = stubTarget(folder, id, OciJson.stringify(bundleSpec(rootfs, ["sleep", "100"], id)))
    const fiber = yield* Effect.forkChild(driver.create(target, nothing), { startImmediately: true })
    yield* Effect.sleep(`${(round * 36) / rounds} millis`)
    yield* Fiber.interrupt(fiber)
    // One that had come to its end before is the caller's to delete.
    if (Option.isSome(Option.filter(Option.fromUndefinedOr(fiber.pollUnsafe()), (exit) => exit._tag === "Success"))) {
      yield* driver.delete(target, { force: true })
    }
    assert.deepStrictEqual([id, cgroupsOf(id)], [id, []])
    assert.deepStrictEqual([id, yield* living], [id, []])
    assert.isFalse(existsSync(join(root, "ns", id)), id)
  }
})

/** What the kernel refuses when the runtime has made cgroups already, and what no runtime begins with. */
const refusals: ReadonlyArray<readonly [string, (spec: OciSpec) => OciSpec]> = [
  ["weight", (spec) => limited(spec, { blockIO: { weight: 300 } })],
  ["cpus", (spec) => limited(spec, { cpu: { cpus: "900" } })],
  ["memory", (spec) => limited(spec, { memory: { limit: 4096 } })],
  ["program", (spec) => ({ ...spec, process: { ...spec.process, cwd: "/", args: ["/bin/none"] } })],
  ["mount", (spec) => ({ ...spec, mounts: [{ destination: "/x", type: "bind", source: "/none", options: ["bind"] }] })]
]
const limited = (spec: OciSpec, resources: NonNullable<NonNullable<OciSpec["linux"]>["resources"]>): OciSpec => ({
  ...spec,
  linux: { ...spec.linux, resources }
})

const mountsBelow = (folder: string) =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .filter((line) => line.includes(folder))

const refuse = Effect.fnUntraced(function* (runtime: string, binary: string) {
  const { driver, folder, root, rootfs } = yield* place(runtime, binary, "2 seconds")
  let refused = 0
  for (const [name, change] of refusals) {
    const id = `refused-${runtime}-${process.pid}-${name}`
    const target = stubTarget(folder, id, OciJson.stringify(change(bundleSpec(rootfs, ["sleep", "100"], id))))
    const exit = yield* Effect.exit(driver.create(target, nothing))
    if (exit._tag === "Failure") refused++
    else yield* driver.delete(target, { force: true })
    assert.deepStrictEqual([id, cgroupsOf(id)], [id, []])
    assert.deepStrictEqual([id, yield* living], [id, []])
    assert.deepStrictEqual([id, mountsBelow(folder)], [id, []])
    assert.isFalse(existsSync(join(root, "ns", id)), id)
  }
  assert.isAtLeast(refused, 3)
})

for (const runtime of ["runc", "crun"]) {
  const binary = installed(runtime)
  describe.skipIf(!canRunContainers || binary === null)(`interrupted create: ${runtime}`, () => {
    for (const grace of ["some", "none"]) {
      it.live(`with ${grace} grace`, () => cut(runtime, binary ?? "", grace, 20).pipe(Effect.provide(ports)))
    }
    it.live("that is refused", () => refuse(runtime, binary ?? "").pipe(Effect.provide(ports)))
  })
}

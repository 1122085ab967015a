import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { Children } from "../../../src/layers/posix/Children.ts"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import * as Probe from "../../../src/layers/runtime/Probe.ts"
import * as Runtimes from "../../../src/layers/runtime/Runtimes.ts"
import { ContainerId, Namespace, RuntimeName } from "../../../src/schema/Ids.ts"
import { OciRuntime } from "../../../src/services/OciRuntime.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { writeScript } from "../../support/stubRuntime.ts"

const crun = (extra = "") => `echo "crun version 1.8.1
commit: f8a096be
spec: 1.0.0
+SYSTEMD +CAP ${extra}+YAJL"`
const runc = `echo "runc version 1.1.5+ds1
commit: 1.1.5+ds1-1
spec: 1.0.2-dev"`

/** A host with these scripts on PATH, and with these controllers in a unified hierarchy beside version 1. */
const host = Effect.fnUntraced(function* (
  scripts: Readonly<Record<string, string>>,
  options: {
    readonly controllers?: string
    readonly isRoot?: boolean
    readonly runtimes?: Runtimes.Options["runtimes"]
  } = {}
) {
  const folder = yield* temporaryFolder
  const [bin, cgroupRoot] = [join(folder, "bin"), join(folder, "cgroup")]
  mkdirSync(bin)
  mkdirSync(join(cgroupRoot, "unified"), { recursive: true })
  writeFileSync(join(cgroupRoot, "unified/cgroup.controllers"), `${options.controllers ?? ""}\n`)
  for (const [name, body] of Object.entries(scripts)) writeScript(join(bin, name), body)
  const runtimes = yield* Layer.build(
    Runtimes.layer({
      stateDir: join(folder, "state"),
      runtimes: options.runtimes ?? {},
      isRoot: options.isRoot ?? true,
      cgroupRoot,
      env: { PATH: bin }
    }).pipe(Layer.provide(Children.layer), Layer.provide(Libc.layer))
  )
  const { driver, list } = Context.get(runtimes, OciRuntime)
  return { bin, cgroupRoot, driver: (name: string) => driver(RuntimeName.make(name)), list }
})

/** So long a driver that was found is believed in. */
const aSecond = Effect.sleep("1100 millis")

describe("Runtimes", () => {
  it.live("prefers crun, then runc", () =>
    Effect.gen(function* () {
      const { bin, driver, list } = yield* host({ crun: crun(), runc })
      assert.deepStrictEqual((yield* driver("auto")).info, {
        name: RuntimeName.make("crun"),
        binary: join(bin, "crun"),
        version: "1.8.1",
        capabilities: ["isolation", "exec", "pause", "terminal", "update", "stats"],
        available: true,
        problem: null,
        mend: null,
        default: true
      })
      const { info } = yield* driver("runc")
      assert.deepStrictEqual([info.version, info.default], ["1.1.5+ds1", false])
      assert.deepStrictEqual(
        (yield* list).map(({ default: isDefault, name }) => [name, isDefault]),
        [
          ["crun", true],
          ["runc", false],
          ["host", false]
        ]
      )
    })
  )

  it.live("lists host, works with it for those who have containers of it, and makes new ones only where enabled", () =>
    Effect.gen(function* () {
      const { driver, list } = yield* host({ crun: crun() })
      const told = (yield* list).find(({ name }) => name === "host")
      assert.deepInclude(told, { available: false, mend: "berth daemon --enable-host-driver", default: false })
      assert.notInclude(told?.capabilities ?? [], "isolation")
      const target = { namespace: Namespace.make("ns"), containerId: ContainerId.make("box"), bundle: "/nowhere" }
      const nothing = { stdin: null, stdout: null, stderr: null }
      const made = yield* driver("host")
      assert.strictEqual((yield* Effect.flip(made.create(target, nothing)))._tag, "Unavailable")
      yield* made.delete(target, { force: true })
    })
  )

  it.live("without root says of its own runtimes that they do not work, not of those that are configured", () =>
    Effect.gen(function* () {
      const { driver, list } = yield* host(
        { crun: crun(), runc },
        { isRoot: false, runtimes: { mine: { binary: "runc" } } }
      )
      assert.deepStrictEqual(
        (yield* list).map(({ available, name }) => [name, available]),
        [
          ["crun", false],
          ["runc", false],
          ["mine", true],
          ["host", false]
        ]
      )
      const error = yield* Effect.flip(driver("runc"))
      assert.match(error.problem, /it needs root here/)
      assert.include(error.mend, "--enable-host-driver")
    })
  )

  it.live("has no name twice", () =>
    Effect.gen(function* () {
      for (const name of ["host", "auto"]) {
        const refused = yield* Effect.flip(host({ runc }, { runtimes: { [name]: { binary: "runc" } } }))
        assert.deepInclude(refused, { _tag: "AlreadyExists", kind: "runtime", id: name })
      }
      assert.strictEqual((yield* Effect.flip(Runtimes.checkNames(["a", "b", "a"]))).id, "a")
      yield* Runtimes.checkNames(["runc", "mine"])
    })
  )

  it.live("takes runc where crun refuses the cgroups, and says how to mend that", () =>
    Effect.gen(function* () {
      const { cgroupRoot, driver, list } = yield* host({ crun: crun(), runc }, { controllers: "hugetlb misc" })
      assert.strictEqual((yield* driver("auto")).info.name, "runc")
      const error = yield* Effect.flip(driver("crun"))
      assert.strictEqual(
        error.message,
        `runtime "crun": it refuses cgroups of both versions, and version 2 has hugetlb, misc here`
      )
      assert.include(error.mend, `mount -t cgroup -o hugetlb hugetlb ${cgroupRoot}/hugetlb && mkdir`)
      const [first] = yield* list
      assert.deepStrictEqual(
        [first?.name, first?.available, first?.version, first?.mend],
        ["crun", false, "1.8.1", error.mend]
      )
      // Mended while we run.
      writeFileSync(join(cgroupRoot, "unified/cgroup.controllers"), "\n")
      yield* aSecond
      assert.strictEqual((yield* driver("auto")).info.name, "crun")
    })
  )

  it.live("takes crun on a pure version 2 host, whatever its controllers", () =>
    Effect.gen(function* () {
      const { cgroupRoot, driver } = yield* host({ crun: crun() }, { controllers: "memory" })
      writeFileSync(join(cgroupRoot, "cgroup.controllers"), "memory pids\n")
      assert.strictEqual((yield* driver("auto")).info.name, "crun")
    })
  )

  it.live("says what to install", () =>
    Effect.gen(function* () {
      const { driver } = yield* host({})
      const one = yield* Effect.flip(driver("crun"))
      assert.deepStrictEqual(
        [one.message, one.mend],
        [`runtime "crun": not registered or not installed`, "apt-get install crun"]
      )
      const two = yield* Effect.flip(driver("kata"))
      assert.strictEqual(two.message, `runtime "kata": not registered or not installed`)
      const three = yield* Effect.flip(driver("auto"))
      assert.deepStrictEqual(
        [three.message, three.mend],
        [`runtime "auto": not registered or not installed`, "apt-get install crun"]
      )
    })
  )

  it.live("notices what is installed, replaced and removed meanwhile", () =>
    Effect.gen(function* () {
      const { bin, driver } = yield* host({})
      yield* Effect.flip(driver("runc"))
      writeScript(join(bin, "runc"), runc)
      assert.strictEqual((yield* driver("runc")).info.version, "1.1.5+ds1")
      rmSync(join(bin, "runc"))
      writeScript(join(bin, "runc"), `echo "runc version 1.3.6"`)
      yield* aSecond
      assert.strictEqual((yield* driver("runc")).info.version, "1.3.6")
      rmSync(join(bin, "runc"))
      yield* aSecond
      yield* Effect.flip(driver("runc"))
    })
  )

  it.live("asks a binary for its version once", () =>
    Effect.gen(function* () {
      const { bin, driver } = yield* host({ runc: `echo x >> $0.asked; ${runc}` })
      yield* Effect.all([driver("runc"), driver("runc"), driver("auto")], { concurrency: "unbounded" })
      assert.strictEqual(readFileSync(join(bin, "runc.asked"), "utf8"), "x\n")
    })
  )

  it.live("has the runtimes of the configuration, by name or by path", () =>
    Effect.gen(function* () {
      const { bin, driver, list } = yield* host(
        { youki: `echo "youki version 0.5.0"`, other: "exit 1" },
        { runtimes: { mine: { binary: "youki" }, broken: { binary: "other" }, gone: { binary: "/nowhere/x" } } }
      )
      const { info } = yield* driver("mine")
      assert.deepStrictEqual([info.binary, info.version, info.default], [join(bin, "youki"), "0.5.0", true])
      assert.strictEqual(
        (yield* Effect.flip(driver("broken"))).message,
        `runtime "broken": "${join(bin, "other")} --version" ended with code 1`
      )
      assert.include((yield* Effect.flip(driver("gone"))).mend, "configuration")
      assert.deepStrictEqual(
        (yield* list).map(({ available, name }) => [name, available]),
        [
          ["crun", false],
          ["runc", false],
          ["mine", true],
          ["broken", false],
          ["gone", false],
          ["host", false]
        ]
      )
    })
  )

  it("reads versions of other makes", () => {
    assert.strictEqual(Probe.parseVersion("kata-runtime  : 3.2.0\n   commit   : abc").version, "3.2.0")
    assert.strictEqual(
      Probe.parseVersion("runsc version release-20230920.0\nspec: 1.1.0").version,
      "release-20230920.0"
    )
    assert.strictEqual(Probe.parseVersion("hello").version, null)
  })
})

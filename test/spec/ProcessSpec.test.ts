import { assert, describe, it } from "@effect/vitest"
import { all, defaults } from "../../src/spec/Capabilities.ts"
import { makeProcess } from "../../src/spec/ProcessSpec.ts"
import * as Spec from "../../src/spec/Spec.ts"
import { bad, good } from "./support.ts"

const args = ["id"]
const container = good(
  Spec.make({
    args: ["sleep", "1"],
    user: "1000:100",
    env: ["A=1", "B=2"],
    cwd: "/srv",
    ulimits: [{ name: "nofile", soft: 5, hard: 5 }],
    terminal: true,
    consoleSize: { height: 1, width: 2 }
  })
)
const ordered = (names: ReadonlyArray<string> | undefined) => [...(names ?? [])].sort()

describe("ProcessSpec", () => {
  it("inherits everything from the container but its command and its terminal", () => {
    const { consoleSize: _, ...parent } = container.process ?? { cwd: "" }
    assert.deepStrictEqual(good(makeProcess(container, { args })), { ...parent, args, terminal: false })
  })

  it("passes on what it does not know of the container's process", () => {
    const spec = {
      ...container,
      process: { ...container.process, cwd: "/", ioPriority: { class: "IOPRIO_CLASS_IDLE" } }
    }
    assert.deepStrictEqual<object>(good(makeProcess(spec, { args })), {
      ...good(makeProcess(container, { args })),
      cwd: "/",
      ioPriority: { class: "IOPRIO_CLASS_IDLE" }
    })
  })

  it("takes what is asked for", () => {
    const made = good(
      makeProcess(container, {
        args,
        env: ["B=3", "C=4"],
        cwd: "/",
        user: "7:8",
        terminal: true,
        consoleSize: { height: 24, width: 80 },
        noNewPrivileges: false
      })
    )
    assert.deepStrictEqual(made.user, { uid: 7, gid: 8 })
    assert.deepStrictEqual(made.consoleSize, { height: 24, width: 80 })
    assert.deepStrictEqual([made.cwd, made.terminal, made.noNewPrivileges], ["/", true, false])
    assert.deepStrictEqual(made.env?.slice(-3), ["A=1", "B=3", "C=4"])
    assert.strictEqual(made.env?.filter((entry) => entry.startsWith("TERM=")).length, 1)
  })

  it("root gets the container's bounding set in force, others nothing", () => {
    const root = good(makeProcess(container, { args, user: "0" })).capabilities
    assert.deepStrictEqual(ordered(root?.effective), ordered(defaults))
    assert.deepStrictEqual(ordered(root?.permitted), ordered(defaults))
    const other = good(makeProcess(good(Spec.make({ args })), { args, user: "5" })).capabilities
    assert.deepStrictEqual([other?.effective, other?.permitted, other?.ambient], [[], [], []])
    assert.deepStrictEqual(ordered(other?.bounding), ordered(defaults))
  })

  it("sets that the container's specification chose stay for the same user", () => {
    const sets = { bounding: ["CAP_KILL"], ambient: ["CAP_KILL"], inheritable: ["CAP_KILL"] }
    const spec = { ...container, process: { ...container.process, cwd: "/", capabilities: sets } }
    assert.deepStrictEqual(good(makeProcess(spec, { args })).capabilities, sets)
    assert.deepStrictEqual(good(makeProcess(spec, { args, user: "1000" })).capabilities, sets)
    assert.deepStrictEqual(good(makeProcess(spec, { args, user: "0" })).capabilities?.effective, ["CAP_KILL"])
  })

  it("may be given other capabilities, or all that the runtime holds", () => {
    const own = good(makeProcess(container, { args, user: "0", capabilities: ["net_admin"] })).capabilities
    assert.deepStrictEqual([own?.bounding, own?.effective], [["CAP_NET_ADMIN"], ["CAP_NET_ADMIN"]])
    assert.deepStrictEqual(good(makeProcess(container, { args, capabilities: [] })).capabilities?.bounding, [])
    assert.deepStrictEqual(good(makeProcess(container, { args, privileged: true })).capabilities?.bounding, all)
    const held = ["CAP_KILL"]
    assert.deepStrictEqual(
      good(makeProcess(container, { args, privileged: true }, { capabilities: held })).capabilities?.bounding,
      held
    )
    assert.strictEqual(
      bad(makeProcess(container, { args, capabilities: ["bpf"] }, { capabilities: held })),
      "capabilities: CAP_BPF is not held by the runtime on this host"
    )
    const confined = { ...container, process: { ...container.process, cwd: "/", apparmorProfile: "p" } }
    assert.strictEqual(good(makeProcess(confined, { args, privileged: true })).apparmorProfile, "unconfined")
    assert.strictEqual(good(makeProcess(confined, { args })).apparmorProfile, "p")
  })

  it("says what is wrong", () => {
    assert.strictEqual(bad(makeProcess(container, { args: [] })), "args: a command is needed")
    assert.strictEqual(bad(makeProcess(container, { args: ["a\0b"] })), "args: contains a NUL byte")
    assert.strictEqual(bad(makeProcess(container, { args, env: ["A=\0"] })), "env: contains a NUL byte")
    assert.strictEqual(bad(makeProcess(container, { args, cwd: "tmp" })), `cwd: must be an absolute path, got "tmp"`)
    assert.include(bad(makeProcess(container, { args, user: "web" })), `no user "web"`)
    assert.strictEqual(
      bad(makeProcess({ ociVersion: "1.0.2" }, { args })),
      "spec: the container's specification has no process"
    )
  })
})

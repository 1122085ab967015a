import { assert, describe, it } from "@effect/vitest"
import { describe as say, exitCode, printable, report } from "../../../src/cli/output/Failure.ts"
import * as Errors from "../../../src/schema/Errors.ts"

const runtimeFailed = (reason: Errors.RuntimeFailed["reason"]) =>
  new Errors.RuntimeFailed({ runtime: "runc", command: "create", exitCode: 1, reason, detail: "it broke", log: [] })

/** Every error with its exit code and its line. */
const cases: ReadonlyArray<readonly [error: Errors.BerthError, code: number, line: string]> = [
  [
    new Errors.NotFound({ kind: "container", id: "web" }),
    1,
    `berth: container "web": not found ("berth ps -a" lists what exists)`
  ],
  [
    new Errors.NotFound({ kind: "runtime", id: "x" }),
    125,
    `berth: runtime "x": not found ("berth runtimes" lists what exists)`
  ],
  [
    new Errors.NotFound({ kind: "exec", id: "x" }),
    1,
    `berth: exec "x": not found ("berth processes" lists what exists)`
  ],
  [
    new Errors.ResourceExhausted({ resource: "disk of the log", limit: 64 }),
    1,
    "berth: disk of the log: full, the limit is 64 (make room on it)"
  ],
  [
    new Errors.AlreadyExists({ kind: "container", id: "web" }),
    1,
    `berth: container "web": already exists (choose another id, or delete the old one)`
  ],
  [new Errors.InvalidArgument({ field: "rootfs", problem: "missing" }), 1, "berth: rootfs: missing"],
  [
    new Errors.FailedPrecondition({ operation: "start", found: "running", allowed: ["created"] }),
    1,
    "berth: cannot start: it is running, must be created"
  ],
  [
    new Errors.Unsupported({ driver: "crun", capability: "checkpoint" }),
    1,
    `berth: runtime "crun": does not support checkpoint`
  ],
  [
    new Errors.Unsupported({ driver: "berth", capability: "--overlay" }),
    1,
    "berth: --overlay: not supported by this version"
  ],
  [new Errors.WaitTimeout({ id: "web", milliseconds: 50 }), 124, `berth: "web": still running after 50 ms`],
  [runtimeFailed("failed"), 125, "berth: runc create failed: it broke"],
  [runtimeFailed("deadline"), 125, "berth: runc create failed: it broke"],
  [runtimeFailed("command-not-found"), 127, "berth: runc create failed: it broke"],
  [runtimeFailed("command-not-executable"), 126, "berth: runc create failed: it broke"],
  [new Errors.ShimLost({ problem: "killed" }), 125, "berth: the shim is gone: killed (try again)"],
  [new Errors.ResourceExhausted({ resource: "mailbox", limit: 64 }), 1, "berth: mailbox: full, the limit is 64"],
  [new Errors.Unauthenticated(), 1, "berth: authentication: missing or wrong token (pass --token or set BERTH_TOKEN)"],
  [new Errors.PermissionDenied({ problem: "not yours" }), 1, "berth: permission denied: not yours"],
  [
    new Errors.Unavailable({ what: "daemon", problem: "gone", mend: "berth daemon" }),
    125,
    "berth: daemon: gone (berth daemon)"
  ],
  [new Errors.Unavailable({ what: "store", problem: "gone", mend: null }), 125, "berth: store: gone"],
  [new Errors.Internal({ reference: "cafe" }), 125, "berth: internal error: see the daemon's log for cafe"]
]

describe("Failure", () => {
  it.each(cases.map(([error, code, line]) => ({ error, code, line, name: `${error._tag} ${line}` })))(
    "$name",
    ({ code, error, line }) => {
      assert.strictEqual(exitCode(error), code)
      assert.strictEqual(say(error), line)
    }
  )

  it("has a case for every error of the closed set", () => {
    const tags = new Set(cases.map(([error]) => error._tag))
    assert.strictEqual(tags.size, Errors.BerthError.members.length)
  })

  it("stays on one line and cannot steer a terminal", () => {
    const error = new Errors.InvalidArgument({ field: "spec", problem: "first\n  second\u001b[31m\tred\u0007" })
    assert.strictEqual(say(error), "berth: spec: first second\\x1b[31m\\x09red\\x07")
    assert.strictEqual(printable("a\r\nb"), "a b")
  })

  it("adds the error with its tag and fields as JSON", () => {
    const [line = "", json = "", rest] = report(new Errors.NotFound({ kind: "container", id: "web" }), true).split("\n")
    assert.match(line, /^berth: container "web"/)
    assert.deepStrictEqual(JSON.parse(json), { error: { _tag: "NotFound", kind: "container", id: "web" } })
    assert.strictEqual(rest, "")
  })

  it("says which of several containers failed where the error does not", () => {
    const error = new Errors.FailedPrecondition({ operation: "pause", found: "paused", allowed: ["running"] })
    assert.strictEqual(say(error, "web"), "berth: web: cannot pause: it is paused, must be running")
    const named = new Errors.NotFound({ kind: "container", id: "web" })
    assert.notInclude(say(named, "web"), "web: container")
  })
})

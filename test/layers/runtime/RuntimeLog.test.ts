import { assert, describe, it } from "@effect/vitest"
import { failure, maxLine, maxLines } from "../../../src/layers/runtime/RuntimeLog.ts"

const runc = (msg: string) => JSON.stringify({ level: "error", msg, time: "2026-11-22T17:55:45Z" })
const crun = (msg: string) => JSON.stringify({ msg, level: "error", time: "2026-11-22T17:56:07.461577Z" })
const of = (command: string, log: string) => failure({ runtime: "r", command, exitCode: 1, log })

const notFound = "command-not-found"
const notExecutable = "command-not-executable"

// The messages are what runc 1.1.5 and crun 1.8.1 wrote when asked for these commands.
const cases: ReadonlyArray<readonly [what: string, command: string, line: string, reason: string, detail: string]> = [
  [
    "runc: missing path",
    "create",
    runc(
      `runc create failed: unable to start container process: exec: "/bin/nope": stat /bin/nope: no such file or directory`
    ),
    notFound,
    `exec: "/bin/nope": stat /bin/nope: no such file or directory`
  ],
  [
    "runc: missing name",
    "create",
    runc(`runc create failed: unable to start container process: exec: "nope": executable file not found in $PATH`),
    notFound,
    `exec: "nope": executable file not found in $PATH`
  ],
  [
    "runc: a file where a folder should be",
    "create",
    runc(
      `runc create failed: unable to start container process: exec: "/bin/true/x": stat /bin/true/x: not a directory`
    ),
    notFound,
    `exec: "/bin/true/x": stat /bin/true/x: not a directory`
  ],
  [
    "runc: not executable, and a folder",
    "exec",
    runc(`exec failed: unable to start container process: exec: "/etc/noexec": permission denied`),
    notExecutable,
    `exec: "/etc/noexec": permission denied`
  ],
  [
    "runc: a folder",
    "exec",
    runc(`exec failed: unable to start container process: exec: "/etc": permission denied`),
    notExecutable,
    `exec: "/etc": permission denied`
  ],
  [
    "runc: a folder, in later versions",
    "create",
    runc(
      `runc create failed: unable to start container process: error during container init: exec: "/bin": is a directory`
    ),
    notExecutable,
    `exec: "/bin": is a directory`
  ],
  [
    "runc: no such working directory",
    "exec",
    runc(
      `exec failed: unable to start container process: chdir to cwd ("/no/such") set in config.json failed: no such file or directory`
    ),
    "failed",
    `chdir to cwd ("/no/such") set in config.json failed: no such file or directory`
  ],
  [
    "runc: a user id too large",
    "create",
    runc(
      "runc create failed: json: cannot unmarshal number 99999999999 into Go struct field User.process.user.uid of type uint32"
    ),
    "failed",
    "json: cannot unmarshal number 99999999999 into Go struct field User.process.user.uid of type uint32"
  ],
  [
    "crun: missing path",
    "create",
    crun("executable file `/bin/nope` not found in $PATH: No such file or directory"),
    notFound,
    "executable file `/bin/nope` not found in $PATH: No such file or directory"
  ],
  [
    "crun: not executable",
    "exec",
    crun("open executable: Permission denied"),
    notExecutable,
    "open executable: Permission denied"
  ],
  [
    "crun: a folder",
    "create",
    crun("open executable: Operation not permitted"),
    notExecutable,
    "open executable: Operation not permitted"
  ],
  [
    "crun: a folder, in exec",
    "exec",
    crun("open executable: Operation not permitted"),
    notExecutable,
    "open executable: Operation not permitted"
  ],
  [
    "crun: no program of this machine",
    "exec",
    crun("exec: Exec format error"),
    notExecutable,
    "exec: Exec format error"
  ],
  [
    "crun: a file where a folder should be",
    "create",
    crun("open executable: Not a directory"),
    notFound,
    "open executable: Not a directory"
  ],
  [
    "crun: no arguments",
    "create",
    crun("open executable: Invalid argument"),
    "failed",
    "open executable: Invalid argument"
  ],
  [
    "crun: no such working directory",
    "exec",
    crun("chdir `/no/such`: No such file or directory"),
    "failed",
    "chdir `/no/such`: No such file or directory"
  ],
  [
    "crun: a user id too large",
    "exec",
    crun(
      "cannot parse process file: Invalid value '99999999999' with type 'UID' for key 'uid': Numerical result out of range"
    ),
    "failed",
    "cannot parse process file: Invalid value '99999999999' with type 'UID' for key 'uid': Numerical result out of range"
  ],
  [
    "a missing file in another command is not a missing command",
    "start",
    crun("cannot open `/run/x/exec.fifo`: No such file or directory"),
    "failed",
    "cannot open `/run/x/exec.fifo`: No such file or directory"
  ]
]

describe("RuntimeLog", () => {
  for (const [what, command, line, reason, detail] of cases) {
    it(what, () => {
      const error = of(command, `${line}\n`)
      assert.deepStrictEqual([error.reason, error.detail, error.log.length], [reason, detail, 1])
    })
  }

  it("drops what older versions of runc say first", () => {
    const error = of(
      "create",
      runc(`container_linux.go:380: starting container process caused: exec: "x": is a directory`)
    )
    assert.strictEqual(error.detail, `exec: "x": is a directory`)
  })

  it("takes the last error, not the last line", () => {
    const warning = JSON.stringify({ level: "warning", msg: "cgroup is odd" })
    const error = of("create", [runc("first"), runc("second"), warning].join("\n"))
    assert.strictEqual(error.detail, "second")
    assert.deepStrictEqual(error.log, ["first", "second", "cgroup is odd"])
  })

  it("takes plain text where there is nothing better, and no text twice", () => {
    const text = "r: error while loading shared libraries: libseccomp.so.2"
    assert.strictEqual(of("pause", `\n${text}\n`).detail, text)
    assert.deepStrictEqual(of("pause", `${crun("no such container")}\nno such container\n`).log, ["no such container"])
  })

  it("survives garbage", () => {
    const error = of("create", '{"msg":\n\u0000\u0001\n{"level":"error"}\n[1,2]\nnull\n')
    assert.strictEqual(error.reason, "failed")
    assert.strictEqual(error.log.length, 5)
  })

  it("says so when there is nothing", () => {
    assert.strictEqual(of("start", "").detail, "it ended with code 1 and said nothing")
  })

  it("is bounded", () => {
    const error = of(
      "create",
      Array.from({ length: 100 }, (_, index) => runc(`${index} ${"x".repeat(5000)}`)).join("\n")
    )
    assert.strictEqual(error.log.length, maxLines)
    assert.isTrue(error.log.every((line) => line.length <= maxLine) && error.detail.length <= maxLine)
    assert.isTrue(error.log.at(-1)?.startsWith("99 "))
  })

  it("says deadline whatever the log holds", () => {
    const log = runc(`exec: "x": executable file not found in $PATH`)
    const error = failure({ runtime: "r", command: "create", exitCode: -1, log, overdue: "no answer within 5 ms" })
    assert.deepStrictEqual([error.reason, error.detail, error.log.length], ["deadline", "no answer within 5 ms", 1])
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Result } from "effect"
import { execFileSync, spawn } from "node:child_process"
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as HostCommand from "../../../src/layers/runtime/HostCommand.ts"
import type { OciProcess } from "../../../src/schema/OciSpec.ts"

const root = { uid: 0, gid: 0 }
const process = (args: ReadonlyArray<string>, more: Partial<OciProcess> = {}): OciProcess => ({
  cwd: "/",
  args,
  env: ["PATH=/usr/bin:/bin"],
  ...more
})
const problem = (asked: OciProcess, self = root) => {
  const made = HostCommand.make("create", asked, "/fifo", self)
  if (Result.isSuccess(made)) return null
  const { failure } = made
  return failure._tag === "RuntimeFailed" ? failure.reason : failure._tag
}

/** Runs a command line as the driver does, with a FIFO that somebody opens. */
const outputOf = async (asked: OciProcess) => {
  const folder = mkdtempSync(join(tmpdir(), "berth-host-"))
  try {
    const fifo = join(folder, "fifo")
    execFileSync("mkfifo", [fifo])
    const { args, env, path } = Result.getOrThrow(HostCommand.make("create", asked, fifo, root))
    const child = spawn(path, args, { env, stdio: ["ignore", "pipe", "inherit"] })
    const text = (async () => {
      let all = ""
      for await (const part of child.stdout) all += String(part)
      return all
    })()
    writeFileSync(fifo, "")
    return await text
  } finally {
    rmSync(folder, { recursive: true })
  }
}

describe("HostCommand", () => {
  it("gives the program its arguments, environment and folder as they are", async () => {
    const env = ["PATH=/usr/bin:/bin", "A=x y", "PWD=mine", "OLDPWD=too", "odd.name=$(id)", "E=", "broken"]
    const words = ["printf", "%s|", "$HOME", "; id", "a  b", "", "-n"]
    assert.strictEqual(await outputOf(process(words, { cwd: "/tmp" })), "$HOME|; id|a  b||-n|")
    const seen = (await outputOf(process(["env"], { env }))).trim().split("\n").sort()
    assert.deepStrictEqual(seen, ["A=x y", "E=", "OLDPWD=too", "PATH=/usr/bin:/bin", "PWD=mine", "odd.name=$(id)"])
    assert.deepStrictEqual((await outputOf(process(["env"], { env: ["A=1"] }))).trim().split("\n"), ["A=1"])
    assert.strictEqual(await outputOf(process(["/bin/pwd"], { cwd: "/usr/bin" })), "/usr/bin\n")
    assert.strictEqual(
      await outputOf(process(["/bin/sh", "-c", "umask"], { user: { ...root, umask: 0o27 } })),
      "0027\n"
    )
  })

  it("finds a program as runtimes do, and says why not", () => {
    const folder = mkdtempSync(join(tmpdir(), "berth-host-"))
    try {
      mkdirSync(join(folder, "dir"))
      writeFileSync(join(folder, "plain"), "")
      writeFileSync(join(folder, "-x"), "#!/bin/sh\n")
      chmodSync(join(folder, "-x"), 0o755)
      const here = { cwd: folder, env: [`PATH=${folder}`] }
      assert.deepStrictEqual(
        [["dir"], ["plain"], ["no"], ["./plain"], ["/etc/passwd/x"], ["-x"], ["./-x"]].map((args) =>
          problem(process(args, here))
        ),
        [
          "command-not-executable",
          "command-not-executable",
          "command-not-found",
          "command-not-executable",
          "command-not-found",
          null,
          null
        ]
      )
      assert.deepStrictEqual(
        [process([]), process(["true"], { cwd: "tmp" }), process(["true"], { cwd: "/nowhere" })].map((one) =>
          problem(one)
        ),
        ["InvalidArgument", "InvalidArgument", "failed"]
      )
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it("takes 0:0 for the daemon's own user, and changes users only as root", () => {
    const [user, self] = [
      { uid: 7, gid: 8 },
      { uid: 1000, gid: 1000 }
    ]
    assert.isNull(problem(process(["true"], { user: root }), self))
    assert.isNull(problem(process(["true"], { user: self }), self))
    assert.strictEqual(problem(process(["true"], { user }), self), "Unsupported")
    if (!existsSync("/usr/bin/setpriv")) return assert.strictEqual(problem(process(["true"], { user })), "Unavailable")
    const made = Result.getOrThrow(
      HostCommand.make("exec", process(["true"], { user, noNewPrivileges: true }), "/fifo", root)
    )
    assert.includeMembers([...made.args], ["--reuid", "7", "--regid", "8", "--clear-groups", "--no-new-privs"])
    assert.deepStrictEqual(made.owner, user)
  })
})

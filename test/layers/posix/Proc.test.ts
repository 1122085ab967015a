import { assert, describe, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { spawn } from "node:child_process"
import * as Proc from "../../../src/layers/posix/Proc.ts"

const line = (command: string) =>
  `42 (${command}) S 7 42 43 0 -1 4194560 100 0 0 0 1 2 3 4 20 0 1 0 987654 1000 20 18446744073709551615 ` +
  `1 1 0 0 0 0 0 4096 0 0 0 0 17 1 0 0 0 0 0 0 0 0 0 0 0 0 1792\n`

describe("Proc", () => {
  for (const command of ["sleep", "a b", "odd) S 1 (", ") Z 1 1 1", "(", ""]) {
    it(`reads the line of a command called "${command}"`, () => {
      assert.deepStrictEqual(
        Proc.parseStat(line(command)),
        Option.some({
          pid: 42,
          state: "S",
          parent: 7,
          session: 43,
          startTime: "987654",
          exitWord: 1792,
          forkedOnly: false,
          exiting: false
        })
      )
    })
  }

  it("tells one that has begun to end", () => {
    const ending = line("sleep").replace(" 4194560 ", ` ${4194560 + 0x4} `)
    assert.isTrue(Option.exists(Proc.parseStat(ending), ({ exiting, state }) => exiting && state === "S"))
  })

  it("tells a fork that has executed nothing", () => {
    const forked = line("runtime").replace(" 4194560 ", ` ${4194560 + 0x40} `)
    assert.isTrue(Option.exists(Proc.parseStat(forked), ({ forkedOnly }) => forkedOnly))
  })

  it("does not take half a line", () => {
    assert.isTrue(Option.isNone(Proc.parseStat("")))
    assert.isTrue(Option.isNone(Proc.parseStat(line("x").slice(0, 40))))
  })

  it.effect("knows this process, its children and their arguments", () =>
    Effect.gen(function* () {
      const child = yield* Effect.acquireRelease(
        Effect.sync(() => spawn("sleep", ["100"])),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      const pid = child.pid ?? 0
      const { parent, startTime } = yield* Effect.fromOption(yield* Proc.stat(pid))
      assert.strictEqual(parent, process.pid)
      assert.include([...(yield* Proc.children)], pid)
      assert.deepStrictEqual(yield* Proc.argv(pid), ["sleep", "100"])
      const bootId = yield* Proc.bootId
      assert.match(bootId, /^[0-9a-f-]{36}$/)
      assert.isTrue(Option.isSome(yield* Proc.find({ pid, startTime, bootId })))
      assert.isTrue(Option.isNone(yield* Proc.find({ pid, startTime: `${startTime}0`, bootId })))
    })
  )

  it.effect("finds nothing where nobody is", () =>
    Effect.gen(function* () {
      assert.isTrue(Option.isNone(yield* Proc.stat(2 ** 30)))
      assert.deepStrictEqual(yield* Proc.argv(2 ** 30), [])
    })
  )
})

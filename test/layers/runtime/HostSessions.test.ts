import { assert, it } from "@effect/vitest"
import type { Stat } from "../../../src/layers/posix/Proc.ts"
import { running } from "../../../src/layers/runtime/HostSessions.ts"

const one = (pid: number, state: string, more: Partial<Stat> = {}): Stat => ({
  pid,
  state,
  parent: 1,
  session: 1,
  startTime: "1",
  exitWord: 0,
  forkedOnly: false,
  exiting: false,
  ...more
})

it("whoever waits for a stopped child of vfork to execute its program runs no more than the child", () => {
  const pids = (...all: ReadonlyArray<Stat>) => running(all).map(({ pid }) => pid)
  assert.deepStrictEqual(pids(one(10, "S"), one(11, "T"), one(12, "t"), one(13, "R")), [10, 13])
  assert.deepStrictEqual(pids(one(10, "D"), one(11, "T", { parent: 10, forkedOnly: true })), [])
  assert.deepStrictEqual(pids(one(10, "D"), one(11, "R", { parent: 10, forkedOnly: true })), [10, 11])
  // Its own program stopped it: the parent waits for something else.
  assert.deepStrictEqual(pids(one(10, "D"), one(11, "T", { parent: 10 })), [10])
  assert.deepStrictEqual(pids(one(10, "S"), one(11, "T", { parent: 10, forkedOnly: true })), [10])
})

import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Result } from "effect"
import { TestClock } from "effect/testing"
import { ContainerId, Namespace } from "../../../src/schema/Ids.ts"
import { layer } from "../../../src/layers/mock/MockLayers.ts"
import { interpret } from "../../../src/layers/mock/MockPrograms.ts"
import { MockWorld } from "../../../src/layers/mock/MockWorld.ts"
import {
  bundle,
  driver,
  none,
  printed,
  processOf,
  running,
  sh,
  signal,
  SIGHUP,
  SIGKILL,
  SIGTERM,
  text
} from "./support.ts"

/** Runs a command as init for up to an hour: status, milliseconds that it took, output. */
const run = Effect.fnUntraced(function* (args: ReadonlyArray<string>) {
  const { exit, io } = yield* running("c", args)
  const ended = yield* Effect.forkChild(exit)
  yield* TestClock.adjust("1 hour")
  const { exitStatus, exitedAt } = yield* Fiber.join(ended)
  yield* io.drained
  return [exitStatus, exitedAt.epochMilliseconds, yield* text("c")] as const
})

describe("programs from command lines", () => {
  const cases: ReadonlyArray<readonly [args: ReadonlyArray<string>, status: number, millis: number, output: string]> = [
    [["true"], 0, 0, ""],
    [["/bin/false"], 1, 0, ""],
    [["sleep", "1.5"], 0, 1500, ""],
    [["sleep", "2m"], 0, 120_000, ""],
    [["busybox", "sleep", "1"], 0, 1000, ""],
    [["echo", "-n", "a  b", "c"], 0, 0, "a  b c"],
    [["cat"], 0, 0, ""],
    [sh("exit 7"), 7, 0, ""],
    [sh("exit 256"), 0, 0, ""],
    [sh("echo x; exit 3"), 3, 0, "x\n"],
    [sh("sleep 1; exit 3"), 3, 1000, ""],
    [sh("echo a && false || echo b"), 0, 0, "a\nb\n"],
    [sh("false && echo no; echo $?"), 0, 0, "1\n"],
    [sh("false"), 1, 0, ""],
    [sh(`echo "hello $WHO" '$WHO' $$ ; A="1 2"; echo \${A}3 >&2`), 0, 0, "hello world $WHO 1\n1 23\n"],
    [sh("echo gone >/dev/null 2>&1; echo kept"), 0, 0, "kept\n"],
    [
      sh("nosuch; echo $?; /etc/passwd; echo $?"),
      0,
      0,
      "sh: nosuch: not found\n127\nsh: /etc/passwd: Permission denied\n126\n"
    ],
    [sh("nosuch"), 127, 0, "sh: nosuch: not found\n"],
    [sh("for i in 1 2 3; do echo $i; sleep 1; done # as often as that"), 0, 3000, "1\n2\n3\n"],
    [sh("seq 2; head -c 3 /dev/zero; printf '%s\\n' z; pwd"), 0, 0, "1\n2\n\0\0\0z\n/\n"],
    [sh("sleep 5 & sleep 2; wait; exit 4"), 4, 5000, ""],
    [sh("while true; do sleep 1; exit 2; done"), 2, 1000, ""],
    [sh("sh -c 'exit 5'; echo $?; exec echo last; echo never"), 0, 0, "5\nlast\n"],
    // Nobody can kill the init of a pid namespace from within.
    [sh("kill -9 $$; echo survived; kill -s TERM 1; exit 4"), 4, 0, "survived\n"],
    [sh("trap 'echo bye; exit 9' TERM; kill $$; echo never"), 9, 0, "bye\n"]
  ]
  for (const [args, status, millis, output] of cases) {
    it.effect(args.join(" "), () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(yield* run(args), [status, millis, output])
      }).pipe(Effect.provide(layer()))
    )
  }

  it.effect("sleep inf and loops without end last", () =>
    Effect.gen(function* () {
      for (const [index, args] of [
        ["sleep", "inf"],
        sh("while :; do echo; done"),
        sh("sleep 1; sleep infinity")
      ].entries()) {
        const fiber = yield* Effect.forkChild((yield* running(`c${index}`, args)).exit)
        yield* TestClock.adjust("3 seconds")
        assert.isUndefined(fiber.pollUnsafe())
      }
    }).pipe(Effect.provide(layer()))
  )

  for (const text of [
    "cat /etc/hosts",
    "echo $(date)",
    "if true; then echo; fi",
    "a | b",
    "echo `x`",
    "sleep soon",
    "kill 5",
    "echo ${A:-1}",
    "'"
  ]) {
    it(`says that it cannot do: ${text}`, () => {
      const refused = interpret(processOf(sh(text)), true)
      assert.isTrue(Result.isFailure(refused) && refused.failure.reason === "failed", text)
    })
  }

  it.effect("refuses what cannot run, at create", () =>
    Effect.gen(function* () {
      const mock = yield* driver
      const reason = Effect.fnUntraced(function* (args: ReadonlyArray<string>) {
        const error = yield* Effect.flip(mock.create(yield* bundle("c", args), none))
        return error._tag === "RuntimeFailed" ? error.reason : error._tag
      })
      assert.strictEqual(yield* reason(["/no/such"]), "command-not-found")
      assert.strictEqual(yield* reason(["nosuch"]), "command-not-found")
      assert.strictEqual(yield* reason(["/etc/passwd"]), "command-not-executable")
      assert.strictEqual(yield* reason(sh("a | b")), "failed")
      assert.deepStrictEqual(yield* (yield* MockWorld).containers, [])
    }).pipe(Effect.provide(layer()))
  )
})

describe("scripts", () => {
  it.effect("print and end in their own time", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      yield* world.script(
        { containerId: "c" },
        {
          output: [{ text: "one" }, { stream: "stderr", text: "two", after: "2 seconds" }],
          runFor: "5 seconds",
          exit: 6
        }
      )
      const { exit, io } = yield* running("c", ["anything", "at all"])
      const ended = yield* Effect.forkChild(exit)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* printed("c"), [
        [0, "stdout", "one"],
        [2000, "stderr", "two"]
      ])
      yield* TestClock.adjust("2999 millis")
      assert.isUndefined(ended.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      const reaped = yield* Fiber.join(ended)
      assert.deepStrictEqual([reaped.exitStatus, reaped.exitedAt.epochMilliseconds, reaped.source], [6, 5000, "reaped"])
      yield* io.drained
    }).pipe(Effect.provide(layer()))
  )

  it.effect("count in the order newest first, by id, exec and arguments", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      yield* world.script({}, { exit: 1 })
      yield* world.script({ args: "special one" }, { exit: 2 })
      yield* world.script({ containerId: "b", execId: null }, { exit: 3 })
      const status = Effect.fnUntraced(function* (id: string, args: ReadonlyArray<string>) {
        return (yield* (yield* running(id, args)).exit).exitStatus
      })
      assert.strictEqual(yield* status("a", ["x"]), 1)
      assert.strictEqual(yield* status("a2", ["a", "special", "one"]), 2)
      assert.strictEqual(yield* status("b", ["a", "special", "one"]), 3)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("handle and ignore signals", () =>
    Effect.gen(function* () {
      yield* (yield* MockWorld).script(
        {},
        { runFor: "forever", handles: { [SIGTERM]: 143, [SIGHUP]: { steps: [], exit: null } } }
      )
      const { exit, identity } = yield* running("c", ["server"])
      const ended = yield* Effect.forkChild(exit)
      assert.isTrue(yield* signal(identity, SIGHUP))
      yield* TestClock.adjust("1 second")
      assert.isUndefined(ended.pollUnsafe())
      assert.isTrue(yield* signal(identity, SIGTERM))
      assert.strictEqual((yield* Fiber.join(ended)).exitStatus, 143)
    }).pipe(Effect.provide(layer()))
  )

  it.effect("run out of memory", () =>
    Effect.gen(function* () {
      const world = yield* MockWorld
      yield* world.script({ containerId: "hog" }, { runFor: "forever", oomAfter: "3 seconds" })
      const hog = yield* running("hog", ["hog"])
      const other = yield* running("other", ["sleep", "inf"])
      const ended = yield* Effect.forkChild(hog.exit)
      yield* TestClock.adjust("2 seconds")
      assert.isUndefined(ended.pollUnsafe())
      yield* TestClock.adjust("1 second")
      assert.strictEqual((yield* Fiber.join(ended)).exitStatus, 137)
      assert.isTrue(yield* world.oomKilled(hog.identity))
      const killed = yield* running("killed", ["sleep", "inf"])
      yield* signal(killed.identity, SIGKILL)
      yield* killed.exit
      for (const { identity } of [killed, other]) assert.isFalse(yield* world.oomKilled(identity))
      assert.isTrue(yield* world.oom(other.at))
      assert.strictEqual((yield* other.exit).exitStatus, 137)
      assert.isTrue(yield* world.oomKilled(other.identity))
      assert.isFalse(yield* world.oom({ namespace: Namespace.make("default"), containerId: ContainerId.make("none") }))
    }).pipe(Effect.provide(layer()))
  )
})

import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option } from "effect"
import { TestClock } from "effect/testing"
import type { Scope } from "effect"
import { existsSync, readFileSync, readdirSync } from "node:fs"
import { join } from "node:path"
import { Children } from "../../../src/layers/posix/Children.ts"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import * as Proc from "../../../src/layers/posix/Proc.ts"
import * as Runtimes from "../../../src/layers/runtime/Runtimes.ts"
import type { Deadlines } from "../../../src/layers/runtime/OciDriver.ts"
import { ExecId, RuntimeName } from "../../../src/schema/Ids.ts"
import type { DriverError } from "../../../src/services/OciRuntime.ts"
import { OciRuntime } from "../../../src/services/OciRuntime.ts"
import { temporaryFolder } from "../../support/folder.ts"
import { stubRuntime, stubTarget } from "../../support/stubRuntime.ts"

const nothing = { stdin: null, stdout: null, stderr: null }

const withStub = Effect.fnUntraced(function* (body: string, deadlines: Partial<Deadlines> = {}) {
  const folder = yield* temporaryFolder
  const binary = stubRuntime(join(folder, "stub"), body)
  const target = stubTarget(folder, "box")
  const driver = yield* OciRuntime.use((runtimes) => runtimes.driver(RuntimeName.make("stub"))).pipe(
    Effect.provide(Runtimes.layer({ stateDir: join(folder, "state"), runtimes: { stub: { binary } }, deadlines }))
  )
  const read = (file: string) => (existsSync(join(folder, file)) ? readFileSync(join(folder, file), "utf8") : "")
  return { driver, folder, read, target }
})

const live = <A, E>(name: string, body: () => Effect.Effect<A, E, Children | Libc | Scope.Scope>) =>
  it.live(name, () => Effect.provide(body(), Layer.provideMerge(Children.layer, Libc.layer)))

const until = Effect.fnUntraced(function* (ready: () => boolean) {
  while (!ready()) yield* Effect.sleep("5 millis")
})
/** What was killed may take a moment to die. */
const untilGone = Effect.fnUntraced(function* (pid: number) {
  while (Option.exists(yield* Proc.stat(pid), (found) => !Proc.isDead(found))) yield* Effect.sleep("5 millis")
})
const told = (error: DriverError) => (error._tag === "RuntimeFailed" ? [error.reason, error.detail] : [error._tag])

describe("OciDriver", () => {
  live("gives every option an argument of its own and returns the pid of the pid file", () =>
    Effect.gen(function* () {
      const { driver, folder, read, target } = yield* withStub(
        `printf '%s\n' "$root" "$log" "$command" "$bundle" "$id" "$flags" > $(dirname "$0")/seen; echo 123 > "$pidfile"`
      )
      assert.strictEqual(yield* driver.create(target, nothing), 123)
      const { bundle } = target
      assert.deepStrictEqual(read("seen").split("\n"), [
        join(folder, "state/stub/ns"),
        join(bundle, "runtime.log"),
        "create",
        bundle,
        "box",
        "",
        ""
      ])
    })
  )

  live("tells the runtime where to send a terminal, where there is one", () =>
    Effect.gen(function* () {
      const { driver, read, target } = yield* withStub(
        `echo "$command $console" >> $(dirname "$0")/seen; echo 123 > "$pidfile"`
      )
      const process = { cwd: "/", args: ["sh"] }
      yield* driver.create(target, nothing, "/run/a socket")
      yield* driver.exec(target, ExecId.make("one"), process, nothing, "/run/another")
      yield* driver.exec(target, ExecId.make("two"), process, nothing, null)
      assert.deepStrictEqual(read("seen").split("\n"), ["create /run/a socket", "exec /run/another", "exec ", ""])
    })
  )

  live("tells what the runtime logged in this call, not in an earlier one", () =>
    Effect.gen(function* () {
      const { driver, target } = yield* withStub(
        `echo '{"level":"error","msg":"'$command' is broken"}' >> "$log"; exit 3`
      )
      for (const command of ["pause", "resume"] as const) {
        const error = yield* Effect.flip(driver[command](target))
        assert.deepStrictEqual(told(error), ["failed", `${command} is broken`])
        assert.deepStrictEqual(error._tag === "RuntimeFailed" && [error.exitCode, error.log.length], [3, 1])
      }
    })
  )

  live("takes what the runtime says on standard error where it logs nothing", () =>
    Effect.gen(function* () {
      const { driver, target } = yield* withStub(`echo "cannot load library" >&2; exit 127`)
      assert.deepStrictEqual(told(yield* Effect.flip(driver.start(target))), ["failed", "cannot load library"])
    })
  )

  live("fails where there is no pid file", () =>
    Effect.gen(function* () {
      const { driver, target } = yield* withStub("exit 0")
      assert.deepStrictEqual(told(yield* Effect.flip(driver.create(target, nothing))), [
        "failed",
        "it wrote no pid file"
      ])
    })
  )

  live("writes the process of an exec with exact integers, and leaves no file of it", () =>
    Effect.gen(function* () {
      const { driver, read, target } = yield* withStub(
        `cp "$process" $(dirname "$0")/process; echo "$flags" > $(dirname "$0")/flags; echo 77 > "$pidfile"`
      )
      const limit = 2 ** 64
      const process = { cwd: "/", args: ["a"], rlimits: [{ type: "RLIMIT_NOFILE", soft: limit, hard: limit }] }
      assert.strictEqual(yield* driver.exec(target, ExecId.make("e1"), process, nothing), 77)
      assert.include(read("process"), "18446744073709551615")
      assert.strictEqual(read("flags").trim(), "--detach")
      assert.deepStrictEqual(readdirSync(target.bundle), ["config.json"])
    })
  )

  live("a call that hangs ends at its deadline, and its runtime with it", () =>
    Effect.gen(function* () {
      const { driver, read, target } = yield* withStub(
        `echo $$ > $(dirname "$0")/pid; echo trouble >> "$log"; sleep 100`,
        {
          start: "200 millis"
        }
      )
      const error = yield* Effect.flip(driver.start(target))
      assert.deepStrictEqual(told(error), ["deadline", "no answer within 200 ms"])
      assert.deepStrictEqual(error._tag === "RuntimeFailed" && [error.exitCode, error.log], [-1, ["trouble"]])
      yield* untilGone(Number(read("pid")))
    })
  )

  live("a start that hangs can be interrupted at once", () =>
    Effect.gen(function* () {
      const { driver, read, target } = yield* withStub(`echo $$ > $(dirname "$0")/pid; sleep 100`)
      // On a clock that stands still no patience ends.
      const fiber = yield* Effect.forkChild(Effect.provide(driver.start(target), TestClock.layer()))
      yield* until(() => read("pid") !== "")
      yield* Fiber.interrupt(fiber)
      yield* untilGone(Number(read("pid")))
    })
  )

  live("an interrupted create goes to its end, and what it made is deleted", () =>
    Effect.gen(function* () {
      const { driver, folder, read, target } = yield* withStub(`
        case $command in
          create) echo 1 > $(dirname "$0")/begun; sleep 0.2; mkdir -p "$root/$id"; echo 123 > "$pidfile" ;;
          delete) echo "$flags" > $(dirname "$0")/deleted; rmdir "$root/$id" ;;
        esac`)
      const fiber = yield* Effect.forkChild(driver.create(target, nothing))
      yield* until(() => read("begun") !== "")
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(read("deleted").trim(), "--force")
      assert.deepStrictEqual(readdirSync(join(folder, "state/stub/ns")), [])
      assert.notInclude(readdirSync(target.bundle), "init.pid")
    })
  )

  live("a create past its deadline is killed with its hooks, and what it made is deleted", () =>
    Effect.gen(function* () {
      const { driver, folder, read, target } = yield* withStub(
        `
        case $command in
          create) mkdir -p "$root/$id"; sleep 100 & echo $! > $(dirname "$0")/hook; wait ;;
          delete) rmdir "$root/$id" ;;
        esac`,
        { create: "300 millis" }
      )
      assert.strictEqual(told(yield* Effect.flip(driver.create(target, nothing)))[0], "deadline")
      yield* untilGone(Number(read("hook")))
      assert.deepStrictEqual(readdirSync(join(folder, "state/stub/ns")), [])
    })
  )

  live("a create past its deadline is killed with the copies of itself that made sessions of their own", () =>
    Effect.gen(function* () {
      yield* (yield* Libc).setChildSubreaper
      const { driver, read, target } = yield* withStub(
        `setsid sh -c 'echo $$ > "$0"; sleep 100; :' $(dirname "$0")/copy "$pidfile" & wait`,
        { create: "300 millis" }
      )
      assert.strictEqual(told(yield* Effect.flip(driver.create(target, nothing)))[0], "deadline")
      yield* untilGone(Number(read("copy")))
    }).pipe(Effect.provide(Libc.layer))
  )

  live("an interrupted exec kills the process that it came to start", () =>
    Effect.gen(function* () {
      const { driver, read, target } = yield* withStub(`
        sleep 100 & echo $! > "$pidfile"; cp "$pidfile" $(dirname "$0")/pid; sleep 0.1`)
      const fiber = yield* Effect.forkChild(driver.exec(target, ExecId.make("e1"), { cwd: "/" }, nothing))
      yield* until(() => read("pid") !== "")
      yield* Fiber.interrupt(fiber)
      yield* untilGone(Number(read("pid")))
    })
  )

  live("a failed delete of what the runtime does not know is a success, of what it knows is not", () =>
    Effect.gen(function* () {
      const { driver, target } = yield* withStub(`
        [ $command = create ] && mkdir -p "$root/$id" && echo 1 > "$pidfile" && exit 0
        echo "no" >&2; exit 1`)
      yield* driver.delete(target, { force: false })
      yield* driver.create(target, nothing)
      assert.deepStrictEqual(told(yield* Effect.flip(driver.delete(target, { force: true }))), ["failed", "no"])
    })
  )

  live("refuses pids that are none", () =>
    Effect.gen(function* () {
      const { driver, target } = yield* withStub(`echo "PID TTY"`)
      assert.strictEqual(told(yield* Effect.flip(driver.pids(target)))[0], "failed")
    })
  )

  live("sees its runtimes at work on a container, whoever has called them", () =>
    Effect.gen(function* () {
      const { driver, folder, read, target } = yield* withStub(
        `echo $$ > $(dirname "$0")/pid; while :; do sleep 0.02; done`
      )
      const other = stubTarget(folder, "other")
      const hanging = yield* Effect.forkChild(driver.pause(target))
      yield* until(() => read("pid").endsWith("\n"))
      const found = yield* driver.atWork([other, target])
      assert.deepStrictEqual(
        found.map(({ pid }) => pid),
        [Number(read("pid"))]
      )
      assert.deepStrictEqual(yield* driver.atWork([other]), [])
      yield* Fiber.interrupt(hanging)
      assert.deepStrictEqual(yield* driver.atWork([target]), [])
    })
  )
})

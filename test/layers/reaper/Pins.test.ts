import { assert, it } from "@effect/vitest"
import { Effect, Option } from "effect"
import { spawn } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Libc } from "../../../src/layers/posix/Libc.ts"
import * as Proc from "../../../src/layers/posix/Proc.ts"
import * as Pins from "../../../src/layers/reaper/Pins.ts"
import { kernelTells } from "../../support/host.ts"
import { withoutDescriptors } from "../../support/noDescriptors.ts"

/** Mounting is root's, and the kernel has to tell. */
const pinnable = kernelTells && process.geteuid?.() === 0

const pins = Pins.make.pipe(Effect.provide(Libc.layer))
const path = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => mkdtempSync(join(tmpdir(), "berth-pins-"))),
    (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
  ),
  (folder) => join(folder, "pidfd")
)
const child = Effect.acquireRelease(
  Effect.sync(() => spawn("/bin/sh", ["-c", "read line; exit 7"], { stdio: ["pipe", "ignore", "ignore"] })),
  (child) => Effect.sync(() => child.kill("SIGKILL"))
)
const identityOf = Effect.fnUntraced(function* (pid: number) {
  const startTime = Option.match(yield* Proc.stat(pid), { onNone: () => "", onSome: (found) => found.startTime })
  return { pid, startTime, bootId: yield* Proc.bootId }
})
const isMounted = (path: string) => readFileSync("/proc/self/mountinfo", "utf8").includes(` ${path} `)

it.live("a pinned process is known by its status when others have waited for it and nobody has it open", () =>
  Effect.gen(function* () {
    const { pin, recall, unpin } = yield* pins
    const [at, program] = [yield* path, yield* child]
    const identity = yield* identityOf(program.pid ?? 0)
    yield* Effect.addFinalizer(() => unpin(at))
    yield* pin(identity, at)
    assert.deepStrictEqual([isMounted(at), yield* recall(at)], [pinnable, Option.none()])
    const unseen = yield* withoutDescriptors(Effect.exit(recall(at)))
    assert.strictEqual(unseen._tag, "Failure")
    program.stdin?.end("\n")
    yield* Effect.callback<void>((resume) => void program.once("exit", () => resume(Effect.void)))
    assert.isTrue(Option.isNone(yield* Proc.stat(identity.pid)))
    assert.deepStrictEqual(yield* recall(at), pinnable ? Option.some(7) : Option.none())
    yield* unpin(at)
    assert.deepStrictEqual([isMounted(at), existsSync(at), yield* recall(at)], [false, false, Option.none()])
    yield* unpin(at)
  }).pipe(Effect.scoped, Effect.provide(Libc.layer))
)

it.live("another process that got the pid is not pinned", () =>
  Effect.gen(function* () {
    const { pin } = yield* pins
    const [at, program] = [yield* path, yield* child]
    yield* pin({ ...(yield* identityOf(program.pid ?? 0)), startTime: "1" }, at)
    assert.isFalse(existsSync(at))
  }).pipe(Effect.scoped)
)

import { assert, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber } from "effect"
import * as Mailbox from "../../src/actors/Mailbox.ts"

type Message = { readonly name: string; readonly reply: Deferred.Deferred<string> | null }

const ask = (mailbox: Mailbox.Mailbox<Message>, name: string) =>
  mailbox.ask<string, never>((reply) => ({ name, reply }))
const report = (name: string): Message => ({ name, reply: null })
const names = (messages: ReadonlyArray<Message>) => messages.map(({ name }) => name)
const answer = ({ name, reply }: Message) => (reply === null ? Effect.void : Deferred.succeed(reply, `${name} done`))

/** A mailbox with so many commands waiting in it. */
const filled = Effect.fnUntraced(function* (capacity: number, commands: number) {
  const mailbox = yield* Mailbox.make<Message>("web", capacity)
  const callers: Array<Fiber.Fiber<string, unknown>> = []
  for (let n = 0; n < commands; n++) {
    callers.push(yield* Effect.forkChild(ask(mailbox, `c${n}`), { startImmediately: true }))
  }
  return { mailbox, callers }
})

it.effect("is first in, first out, whichever door a message came through", () =>
  Effect.gen(function* () {
    const { callers, mailbox } = yield* filled(4, 1)
    yield* mailbox.tell(report("r0"))
    const second = yield* Effect.forkChild(ask(mailbox, "c1"), { startImmediately: true })
    const taken = [yield* mailbox.take, yield* mailbox.take, yield* mailbox.take]
    assert.deepStrictEqual(names(taken), ["c0", "r0", "c1"])
    yield* Effect.forEach(taken, answer)
    assert.deepStrictEqual([yield* Fiber.join(callers[0] ?? second), yield* Fiber.join(second)], ["c0 done", "c1 done"])
  })
)

it.effect("refuses the command beyond its capacity at once, and says its limit", () =>
  Effect.gen(function* () {
    const { callers, mailbox } = yield* filled(3, 3)
    const refused = yield* Effect.flip(ask(mailbox, "late"))
    assert.deepInclude(refused, { _tag: "ResourceExhausted", limit: 3, resource: 'mailbox of task "web"' })
    assert.isTrue(callers.every((caller) => caller.pollUnsafe() === undefined))
    assert.deepStrictEqual(names(yield* mailbox.close), ["c0", "c1", "c2"])
  })
)

it.effect("has room again with each command taken, answered or not", () =>
  Effect.gen(function* () {
    const { mailbox } = yield* filled(2, 2)
    assert.strictEqual((yield* mailbox.take).name, "c0")
    const next = yield* Effect.forkChild(ask(mailbox, "c2"), { startImmediately: true })
    assert.isUndefined(next.pollUnsafe())
    assert.strictEqual((yield* Effect.flip(ask(mailbox, "c3")))._tag, "ResourceExhausted")
  })
)

it.effect("takes every report, however full it is, and none of them counts", () =>
  Effect.gen(function* () {
    const { mailbox } = yield* filled(2, 2)
    for (let n = 0; n < 1000; n++) assert.isTrue(yield* mailbox.tell(report(`r${n}`)))
    assert.strictEqual((yield* Effect.flip(ask(mailbox, "late")))._tag, "ResourceExhausted")
    yield* mailbox.take
    yield* mailbox.take
    const next = yield* Effect.forkChild(ask(mailbox, "c2"), { startImmediately: true })
    assert.isUndefined(next.pollUnsafe())
    const left = names(yield* mailbox.close)
    assert.deepStrictEqual([left.length, left[0], left.at(-1)], [1001, "r0", "c2"])
  })
)

it.effect("a caller that gives up leaves its command, which still counts", () =>
  Effect.gen(function* () {
    const { callers, mailbox } = yield* filled(1, 1)
    yield* Effect.forEach(callers, Fiber.interrupt)
    assert.strictEqual((yield* Effect.flip(ask(mailbox, "late")))._tag, "ResourceExhausted")
    assert.strictEqual((yield* mailbox.take).name, "c0")
  })
)

it.effect("closing hands back what is queued, in order, and ends the asking", () =>
  Effect.gen(function* () {
    const { callers, mailbox } = yield* filled(2, 1)
    yield* mailbox.tell(report("r"))
    const left = yield* mailbox.close
    assert.deepStrictEqual(names(left), ["c0", "r"])
    yield* Effect.forEach(left, answer)
    assert.deepStrictEqual(yield* Effect.forEach(callers, Fiber.join), ["c0 done"])
    assert.deepInclude(yield* Effect.flip(ask(mailbox, "late")), { _tag: "NotFound", kind: "task", id: "web" })
  })
)

it.effect("one that was full when it closed is gone, not full", () =>
  Effect.gen(function* () {
    const { mailbox } = yield* filled(2, 2)
    yield* mailbox.close
    assert.strictEqual((yield* Effect.flip(ask(mailbox, "late")))._tag, "NotFound")
  })
)

it.effect("whoever reports to one that is closed learns that nobody will read it", () =>
  Effect.gen(function* () {
    const { mailbox } = yield* filled(2, 0)
    yield* mailbox.close
    assert.isFalse(yield* mailbox.tell(report("late")))
  })
)

it.effect("closing wakes the one who waits for a message", () =>
  Effect.gen(function* () {
    const { mailbox } = yield* filled(2, 0)
    const reader = yield* Effect.forkChild(mailbox.take, { startImmediately: true })
    yield* mailbox.close
    assert.isTrue(Exit.isFailure(yield* Fiber.await(reader)))
  })
)

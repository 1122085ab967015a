/**
 * A thousand processes that end at once, several at a time, some with processes beside them: every exit is told, once, after its start and after those of the
 * container's other processes; the log's times go with its order; and nothing ends before it has begun.
 */
import { assert, layer } from "@effect/vitest"
import { DateTime, Effect, Result, Stream } from "effect"
import type { ContainerId, Event, Task } from "../../src/index.ts"
import { Containers, Events, ExecId, Spec, Tasks } from "../../src/index.ts"
import { freshId } from "../support/container.ts"
import { realPlaces } from "../support/places.ts"

const runs = { runc: 250, crun: 750 }
const atATime = 8
/** Every so many has execs, which are still under way when their init is killed. */
const withExecs = 10

const process = (...args: ReadonlyArray<string>) => ({ args, cwd: "/", user: { uid: 0, gid: 0 } })
const execIds = ["a", "b"].map((name) => ExecId.make(name))

/** One container from its making to its end; gives what is known of its task before it is deleted. */
const run = Effect.fnUntraced(function* (rootfs: string, index: number) {
  const containers = yield* Containers
  const tasks = yield* Tasks
  const id = yield* freshId
  const crowd = index % withExecs === 0
  const args = crowd ? ["/bin/sleep", "1000"] : ["/bin/true"]
  yield* containers.create({ id, spec: Result.getOrThrow(Spec.make({ rootfs: { path: rootfs }, args })) })
  yield* tasks.create({ id })
  yield* tasks.start(id)
  if (crowd) {
    const starting = Effect.forEach(
      execIds,
      (execId) =>
        Effect.andThen(
          tasks.exec({ id, execId, process: process(execId === "a" ? "/bin/true" : "/bin/sleep", "1000") }),
          // Whether it comes to start before its init is killed is left to chance.
          Effect.ignore(tasks.startExec({ id, execId }))
        ),
      { concurrency: "unbounded", discard: true }
    )
    const killing = Effect.delay(tasks.signal({ id, signal: 9 }), index % 100)
    yield* Effect.all([Effect.ignore(starting), killing], { concurrency: "unbounded" })
  }
  const exit = yield* tasks.wait({ id })
  assert.strictEqual(exit.exitStatus, crowd ? 137 : 0)
  const task = yield* tasks.get(id)
  yield* tasks.delete({ id })
  yield* containers.delete(id)
  return { id, task }
})

const check = (task: Task, told: ReadonlyArray<Event>) => {
  const topics = told.map(({ event, topic }) =>
    "execId" in event && event.execId !== null ? `${topic}:${event.execId}` : topic
  )
  const story = topics.join("\n")
  const count = (topic: string) => topics.filter((one) => one === topic).length
  for (const topic of ["/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"]) {
    assert.strictEqual(count(topic), 1, `${topic}\n${story}`)
  }
  const at = (topic: string) => topics.indexOf(topic)
  assert.isBelow(at("/tasks/create"), at("/tasks/start"), story)
  assert.isBelow(at("/tasks/start"), at("/tasks/exit"), story)
  assert.isBelow(at("/tasks/exit"), at("/tasks/delete"), story)
  for (const execId of execIds) {
    const started = at(`/tasks/exec-started:${execId}`)
    assert.strictEqual(count(`/tasks/exit:${execId}`), started < 0 ? 0 : 1, `${execId}\n${story}`)
    if (started < 0) continue
    assert.isBelow(started, at(`/tasks/exit:${execId}`), story)
    assert.isBelow(at(`/tasks/exit:${execId}`), at("/tasks/exit"), story)
  }
  assert.isNotNull(task.startedAt)
  assert.isNotNull(task.exitedAt)
  if (task.startedAt === null || task.exitedAt === null) return
  assert.isTrue(DateTime.isLessThanOrEqualTo(task.startedAt, task.exitedAt), `ended before it had begun\n${story}`)
  for (const { event, time, topic } of told) {
    if (topic !== "/tasks/exit") continue
    assert.isTrue(DateTime.isLessThanOrEqualTo(event.exitedAt, time), "told before it had happened")
    if (event.execId === null) assert.deepStrictEqual(event.exitedAt, task.exitedAt)
  }
}

for (const place of realPlaces(["daemon"])) {
  const count = place.runtime === "runc" ? runs.runc : runs.crun
  layer(place.layer, { excludeTestServices: true, timeout: "60 seconds" })(place.name, (it) => {
    it.effect(
      `${count} runs, ${atATime} at a time`,
      () =>
        Effect.gen(function* () {
          const ended = yield* Effect.forEach(
            Array.from({ length: count }, (_, index) => index),
            (index) => run(place.rootfs, index),
            { concurrency: atATime }
          )
          const all = yield* Stream.runCollect((yield* Events).subscribe({}))
          const byId = new Map<ContainerId, Array<Event>>()
          for (const [index, event] of all.entries()) {
            const before = all[index - 1]
            if (before !== undefined) {
              assert.isTrue(DateTime.isLessThanOrEqualTo(before.time, event.time), "times go with the order")
            }
            const id = "containerId" in event.event ? event.event.containerId : event.event.id
            byId.set(id, [...(byId.get(id) ?? []), event])
          }
          assert.isTrue(all.some(({ topic }) => topic === "/tasks/exec-started"))
          for (const { id, task } of ended) check(task, byId.get(id) ?? [])
        }),
      60_000
    )
  })
}

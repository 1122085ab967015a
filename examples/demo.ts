/**
 * `npm run demo`: what berth does, on real containers, in two seconds. It starts the built daemon in a folder of its own and goes through a container's life
 * by the typed client, while a second stream prints events as they come. Every step says what it proves and is checked: the exit code is 0 only if all of
 * them held and nothing is left behind, also where it is interrupted.
 */
import { NodeRuntime } from "@effect/platform-node"
import {
  Berth,
  ContainerId,
  Containers,
  CurrentNamespace,
  Events,
  ExecId,
  mend as mendOf,
  Namespace,
  ProcessSpec,
  Spec,
  System,
  Tasks
} from "berth"
import type { BerthError, Event } from "berth"
import { Console, Duration, Effect, Fiber, Schedule, Stream } from "effect"
import { existsSync, readlinkSync } from "node:fs"
import { release } from "node:os"
import * as Place from "./demo/Place.ts"
import { bold, check, history, live, Problem, red, step, subject } from "./demo/Report.ts"

/** Deletes every container there is, whatever it is busy with. */
const deleteAll = Effect.gen(function* () {
  const [containers, tasks] = [yield* Containers, yield* Tasks]
  for (const { id } of yield* containers.list({})) {
    yield* Effect.ignore(tasks.delete({ id, force: true }))
    yield* Effect.ignore(containers.delete(id))
  }
}).pipe(Effect.timeoutOption("20 seconds"), Effect.ignore)

/** Prints events from now on; `until` waits for one of them, so that each is seen in its step. */
const watch = Effect.gen(function* () {
  const seen: Array<Event> = []
  yield* (yield* Events).subscribe({ follow: true }).pipe(
    Stream.runForEach((event) => {
      seen.push(event)
      return live(event)
    }),
    Effect.forkScoped
  )
  const until = (topic: Event["topic"], of: string) =>
    Effect.sync(() => seen.some((event) => event.topic === topic && subject(event) === of)).pipe(
      Effect.repeat({ schedule: Schedule.spaced("1 millis"), until: (found) => found }),
      Effect.timeoutOrElse({
        duration: "10 seconds",
        orElse: () => Effect.fail(new Problem({ what: `no event ${topic} of "${of}" in ten seconds`, mend: null }))
      })
    )
  return { seen, until }
})

/** Everything that a process has printed so far, or with `follow` to its end. */
const output = (id: ContainerId, execId: ExecId | null, follow: boolean) =>
  Effect.flatMap(Tasks, (tasks) =>
    Stream.runFold(
      tasks.output({ id, execId, follow }),
      () => "",
      (text, { bytes }) => text + new TextDecoder().decode(bytes)
    )
  )
const lineCount = (id: ContainerId) => Effect.map(output(id, null, false), (text) => text.split("\n").length - 1)

const hello = ContainerId.make("hello")
const counter = ContainerId.make("counter")
const job = ExecId.make("job")
const counting = "trap 'exit 0' TERM; i=0; while true; do i=$((i+1)); echo $i; sleep 0.03; done"

const tour = Effect.fnUntraced(function* (place: Place.Place, daemonPid: number) {
  const [containers, tasks, events, system] = [yield* Containers, yield* Tasks, yield* Events, yield* System]
  yield* Effect.addFinalizer(() => deleteAll)
  const { defaultRuntime, version } = yield* system.info
  const driver = (yield* system.runtimes).find(({ name }) => name === defaultRuntime)
  if (driver === undefined) {
    return yield* new Problem({ what: "no container runtime works here", mend: "bin/berth doctor" })
  }
  const machine = `${driver.name} ${driver.version ?? ""}, Linux ${release().split("-", 1)[0]}`
  const shims = Place.processesOf(place.folder).filter((pid) => pid !== daemonPid)
  yield* Console.log(`${bold(`berth ${version}`)} on ${machine}: daemon ${daemonPid}, shim ${shims.join(", ")}`)
  const { seen, until } = yield* watch
  const create = (id: ContainerId, ...args: ReadonlyArray<string>) =>
    Effect.flatMap(Effect.fromResult(Spec.make({ rootfs: { path: place.rootfs }, args, hostname: id })), (spec) =>
      containers.create({ id, spec })
    )

  yield* step(
    "run a command",
    "create, start, output, exit code, delete",
    Effect.gen(function* () {
      yield* create(hello, "/bin/sh", "-c", "echo hello, I am pid $$ of $(hostname); exit 7")
      yield* tasks.create({ id: hello })
      const printed = yield* Effect.forkChild(output(hello, null, true), { startImmediately: true })
      yield* tasks.start(hello)
      const text = (yield* Fiber.join(printed)).trim()
      const exit = yield* tasks.delete({ id: hello })
      yield* containers.delete(hello)
      yield* until("/containers/delete", hello)
      yield* check(text === "hello, I am pid 1 of hello", `unexpected output: ${text}`)
      yield* check(exit?.exitStatus === 7 && exit.source === "reaped", "the exit code 7 did not come back")
      return `it said "${text}", and its exit code 7 came back`
    })
  )

  let cgroup = ""
  yield* step(
    "start another",
    "in the background, under supervision",
    Effect.gen(function* () {
      cgroup = (yield* create(counter, "/bin/sh", "-c", counting)).spec.linux?.cgroupsPath?.slice(1) ?? ""
      yield* tasks.create({ id: counter })
      const { pid, status } = yield* tasks.start(counter)
      yield* until("/tasks/start", counter)
      yield* check(status === "running", `it is ${status}`)
      const own = yield* Effect.sync(() => readlinkSync(`/proc/${pid}/ns/pid`) !== readlinkSync("/proc/self/ns/pid"))
      yield* check(own && Place.cgroups(cgroup).length > 0, "it has no pid namespace or control group of its own")
      return `process ${pid} runs, in namespaces and a control group of its own`
    })
  )

  yield* step(
    "exec in it",
    "a second process, with its own id, output and exit code",
    Effect.gen(function* () {
      const { spec } = yield* containers.get(counter)
      const args = ["/bin/sh", "-c", "echo beside pid 1, on $(hostname); exit 3"]
      yield* tasks.exec({
        id: counter,
        execId: job,
        process: yield* Effect.fromResult(ProcessSpec.makeProcess(spec, { args }))
      })
      yield* tasks.startExec({ id: counter, execId: job })
      const exit = yield* tasks.wait({ id: counter, execId: job })
      yield* until("/tasks/exit", `${counter}/${job}`)
      const text = (yield* output(counter, job, true)).trim()
      yield* check(
        text === "beside pid 1, on counter" && exit.exitStatus === 3,
        `it said "${text}" and ended with ${exit.exitStatus}`
      )
      yield* check((yield* tasks.get(counter)).status === "running", "the container did not go on")
      return `it said "${text}", ended with 3, and the container goes on`
    })
  )

  yield* step(
    "list its pids",
    "every process in the container, as the host counts them",
    Effect.gen(function* () {
      const pids = yield* tasks.pids(counter)
      const { pid } = yield* tasks.get(counter)
      yield* check(pid !== null && pids.includes(pid), "its first process is not among them")
      return `pid ${pids.join(", ")}, with ${pid} as pid 1 inside`
    })
  )

  yield* step(
    "pause and resume",
    "the kernel freezes every process of it",
    Effect.gen(function* () {
      yield* tasks.pause(counter)
      yield* until("/tasks/paused", counter)
      yield* Effect.sleep("50 millis") // What was printed before the pause may still be on its way.
      const before = yield* lineCount(counter)
      yield* Effect.sleep("400 millis")
      const during = yield* lineCount(counter)
      yield* tasks.resume(counter)
      yield* until("/tasks/resumed", counter)
      yield* check(before > 0 && before === during, `it counted from ${before} to ${during} while it was paused`)
      const after = yield* Effect.repeat(lineCount(counter), {
        schedule: Schedule.spaced("20 millis"),
        until: (count) => count > during,
        times: 100
      })
      yield* check(after > during, "it did not go on")
      return `its counter stood still at ${during} for 400 ms, then went on to ${after}`
    })
  )

  yield* step(
    "stop it",
    "SIGTERM, then time to end, then SIGKILL",
    Effect.gen(function* () {
      const { exit, stage } = yield* tasks.stop({ id: counter, timeoutMillis: 5000 })
      yield* until("/tasks/exit", counter)
      yield* check(stage === "signal" && exit.exitStatus === 0, `stage ${stage}, exit code ${exit.exitStatus}`)
      return `the stage that worked was "${stage}": it heeded SIGTERM and ended with ${exit.exitStatus}`
    })
  )

  yield* step(
    "delete it",
    "task, then container",
    Effect.gen(function* () {
      yield* tasks.delete({ id: counter })
      yield* containers.delete(counter)
      yield* until("/containers/delete", counter)
      yield* check(Place.cgroups(cgroup).length === 0, `control groups are left: ${Place.cgroups(cgroup).join(" ")}`)
      const found = yield* Effect.result(tasks.get(counter))
      yield* check(found._tag === "Failure" && found.failure._tag === "NotFound", "it is still there")
      return "no process, control group or record of it is left; asking for it gives NotFound"
    })
  )

  yield* step(
    "read the log",
    "the events again, from sequence 1, as a client would that was away",
    Effect.gen(function* () {
      const log = yield* Stream.runCollect(events.subscribe({}))
      const same =
        log.length === seen.length &&
        log.every(({ seq, topic }, index) => seq === index + 1 && topic === seen[index]?.topic)
      yield* check(same, `the log has ${log.length} events, ${seen.length} came live`)
      for (const id of [hello, counter]) yield* history(id, log)
      return `${log.length} events, numbered without a gap, the same that came live`
    })
  )

  yield* step(
    "measure",
    "one lifecycle of /bin/true, in a namespace of its own",
    Effect.gen(function* () {
      const id = ContainerId.make("measured")
      const phases = [
        ["create", Effect.andThen(create(id, "/bin/true"), tasks.create({ id }))],
        ["start", tasks.start(id)],
        ["exit", tasks.wait({ id })],
        ["delete", Effect.andThen(tasks.delete({ id }), containers.delete(id))]
      ] as const
      const times = yield* Effect.forEach(phases, ([, phase]) =>
        Effect.map(Effect.timed(phase), ([took]) => Duration.toMillis(took))
      )
      const parts = phases.map(([name], index) => `${name} ${times[index]?.toFixed(1)}`)
      return `${times.reduce((sum, time) => sum + time, 0).toFixed(1)} ms: ${parts.join(", ")}`
    }).pipe(
      Effect.onError(() => deleteAll),
      Effect.provideService(CurrentNamespace, Namespace.make("measure"))
    )
  )
  return { folder: place.folder, prefix: cgroup.split("--", 1)[0] ?? "" }
})

const main = Effect.gen(function* () {
  const [took, { folder, prefix }] = yield* Effect.timed(
    Effect.scoped(
      Effect.gen(function* () {
        const place = yield* Place.make
        const pid = yield* Place.startDaemon(place)
        return yield* Effect.scoped(tour(place, pid)).pipe(
          Effect.provide(Berth.layerClient({ address: place.address }))
        )
      })
    )
  )
  const left = [...Place.processesOf(folder), ...Place.cgroups(`${prefix}--`), ...(existsSync(folder) ? [folder] : [])]
  yield* check(left.length === 0, `something is left behind: ${left.join(" ")}`)
  const seconds = (Duration.toMillis(took) / 1000).toFixed(1)
  yield* Console.log(
    `${bold("done")} in ${seconds} s, and nothing is left: no container, process, control group or folder`
  )
})

/** What went wrong, and what to type, on standard error. */
const tell = (error: Problem | BerthError) =>
  Effect.sync(() => {
    const [what, mend] = error._tag === "Problem" ? [error.what, error.mend] : [error.message, mendOf(error)]
    process.stderr.write(`${red("demo:")} ${what}${mend === null ? "" : `\n      try: ${mend}`}\n`)
    process.exitCode = 1
  })

// A terminal that is closed, or a pipe that nobody reads any more, must not end it before it has cleaned up.
process.on("SIGHUP", () => process.kill(process.pid, "SIGTERM"))
process.stdout.on("error", () => process.kill(process.pid, "SIGTERM"))

main.pipe(
  Effect.onInterrupt(() =>
    Effect.sync(() => {
      process.stderr.write("demo: interrupted, and everything is cleaned up\n")
    })
  ),
  Effect.catch(tell),
  NodeRuntime.runMain
)

/**
 * The lives of the host, one after the other over the same machine, and the wire between it and the daemon. A call is a message there and one back; the wire
 * delays them, lets answers overtake each other, and may break: then every call under way has failed for the daemon, whether the host has done it or not.
 */
import type { Context } from "effect"
import { Cause, Effect, Exit, Layer, Queue, Scope, Stream } from "effect"
import type { Fiber } from "effect"
import * as LocalHost from "../../src/host/LocalHost.ts"
import { ShimLost } from "../../src/schema/Errors.ts"
import type { HostEvent } from "../../src/schema/Host.ts"
import type { HostError } from "../../src/services/ProcessHost.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import type { Domain, Kernel } from "./Kernel.ts"
import type { HostPorts, Machine } from "./Machine.ts"

type Service = ProcessHost["Service"]

interface Life {
  readonly domain: Domain
  readonly close: () => void
  service: Service | null
  /** What each daemon has sent and is still on its way: a socket keeps its order, so that nothing is carried out before what was sent earlier. */
  readonly incoming: Map<Domain, Array<() => void>>
  /** Daemons that wait for it to be up. */
  readonly waiting: Array<(service: Service) => void>
}

/** One call, or one watch, of a daemon. */
interface UnderWay {
  readonly daemon: Domain
  readonly lost: () => void
  readonly stop: () => void
}

export interface HostLives {
  /** The host as a daemon in that domain sees it. */
  readonly seenBy: (daemon: Domain) => Service
  /** Dies, with all that it knows and has not written down. The next one comes by itself. */
  readonly kill: () => void
  /** Breaks the wire: host and daemon live on. */
  readonly cut: () => void
  /** That daemon is dead, and its connection closed. */
  readonly hangUp: (daemon: Domain) => void
  readonly isUp: () => boolean
  /** How the wire behaves: milliseconds that a message may take, and whether exits are told twice. */
  readonly wire: { delay: number; twice: boolean }
  /** How often a host has died. */
  readonly deaths: () => number
}

/** How many milliseconds after the first time an exit may be told again. */
const tellAgain = 3_000

export const make = (
  kernel: Kernel,
  machine: Machine,
  log: (line: string) => void,
  /** Is shown all that a host tells, at the moment it tells it. */
  onTold: (event: HostEvent) => void
): HostLives => {
  const { random } = kernel
  const wire = { delay: 0, twice: false }
  const underWay = new Set<UnderWay>()
  let deaths = 0
  let count = 0

  const latency = () => (wire.delay > 0 && random.chance(0.7) ? random.int(0, wire.delay) : 0)

  const begin = (): Life => {
    const domain = kernel.domain(`host${++count}`)
    const { close, ports } = machine.portsFor(domain)
    const life: Life = { domain, close, service: null, incoming: new Map(), waiting: [] }
    const boot: Effect.Effect<Context.Context<ProcessHost>> = Layer.build(LocalHost.layer).pipe(
      Effect.provideContext<HostPorts>(ports),
      Effect.provideService(Scope.Scope, Scope.makeUnsafe()),
      Effect.orDie
    )
    const up = Effect.flatMap(boot, (services) => Effect.provideContext(ProcessHost, services))
    kernel.after(domain, random.chance(0.5) ? random.int(0, 300) : 0, () => {
      kernel.fork(domain, up).addObserver((exit) => {
        if (!domain.alive) return
        if (Exit.isFailure(exit)) throw new Error(`the host does not start: ${Cause.pretty(exit.cause)}`)
        log(`${domain.name} is up`)
        life.service = exit.value
        for (const go of life.waiting.splice(0)) go(exit.value)
      })
    })
    return life
  }
  let current = begin()

  /** Runs in the host what the daemon asks for, and gives the way to stop it. */
  const run = <A>(
    daemon: Domain,
    what: (service: Service) => Effect.Effect<A, HostError>,
    done: (exit: Exit.Exit<A, HostError>) => void,
    lost: () => void,
    delay: () => number = latency
  ) => {
    const life = current
    let fiber: Fiber.Fiber<A, HostError> | null = null
    const call: UnderWay = {
      daemon,
      lost: () => {
        underWay.delete(call)
        // They share one connection: whoever waits on it learns of its end at the same time.
        kernel.after(daemon, 0, lost)
      },
      stop: () => {
        underWay.delete(call)
        const running = fiber
        // A connection that is closed interrupts what its calls have begun.
        if (running !== null) kernel.after(life.domain, latency(), () => running.interruptUnsafe())
      }
    }
    underWay.add(call)
    const begin = (service: Service) => {
      if (!underWay.has(call)) return
      fiber = kernel.fork(life.domain, what(service))
      fiber.addObserver((exit) => {
        if (!underWay.delete(call)) return
        kernel.after(daemon, latency(), () => done(exit))
      })
    }
    const go = (service: Service) => {
      const line = life.incoming.get(daemon) ?? []
      life.incoming.set(daemon, line)
      line.push(() => begin(service))
      kernel.after(life.domain, delay(), () => line.shift()?.())
    }
    if (life.service === null) life.waiting.push(go)
    else go(life.service)
    return call
  }

  const stopped = (daemon: Domain, call: () => UnderWay) =>
    Effect.sync(() => {
      if (daemon.alive) call().stop()
    })

  const seenBy: HostLives["seenBy"] = (daemon) => {
    const ask = <A>(what: (service: Service) => Effect.Effect<A, HostError>) =>
      Effect.callback<A, HostError>((resume) => {
        const call = run(
          daemon,
          what,
          (exit) => resume(Exit.isSuccess(exit) || !Exit.hasInterrupts(exit) ? exit : gone),
          () => resume(gone)
        )
        return stopped(daemon, () => call)
      })
    const gone = Effect.fail(new ShimLost({ problem: "it stopped" }))

    const watch: Service["watch"] = Stream.unwrap(
      Effect.map(
        Effect.acquireRelease(
          Effect.gen(function* () {
            const queue = yield* Queue.unbounded<HostEvent, HostError>()
            const channel: Array<HostEvent> = []
            const end = (error: HostError) => kernel.fork(daemon, Queue.fail(queue, error))
            const deliver = () => {
              const next = channel.shift()
              if (next !== undefined) Queue.offerUnsafe(queue, next)
            }
            const tell = (event: HostEvent) =>
              Effect.sync(() => {
                onTold(event)
                const send = () => {
                  channel.push(event)
                  kernel.after(daemon, latency(), deliver)
                }
                send()
                // So late that its name may be another's by then.
                if (wire.twice && event._tag === "Exited") kernel.after(daemon, random.int(0, tellAgain), send)
              })
            const call = run(
              daemon,
              (service) => Stream.runForEach(service.watch, tell),
              () => end(new ShimLost({ problem: "it stopped" })),
              () => {
                channel.splice(0)
                end(new ShimLost({ problem: "it stopped" }))
              },
              // A connection keeps its order: no call that is made after it is carried out before it.
              () => 0
            )
            return { call, queue }
          }),
          ({ call, queue }) =>
            Effect.andThen(
              stopped(daemon, () => call),
              Queue.shutdown(queue)
            )
        ),
        ({ queue }) => Stream.fromQueue(queue)
      )
    )

    return ProcessHost.of({
      create: (request) => ask((host) => host.create(request)),
      start: (ref) => ask((host) => host.start(ref)),
      exec: (request) => ask((host) => host.exec(request)),
      signal: (request) => ask((host) => host.signal(request)),
      pause: (ref) => ask((host) => host.pause(ref)),
      resume: (ref) => ask((host) => host.resume(ref)),
      update: (request) => ask((host) => host.update(request)),
      delete: (ref) => ask((host) => host.delete(ref)),
      deleteExec: (ref) => ask((host) => host.deleteExec(ref)),
      pids: (ref) => ask((host) => host.pids(ref)),
      processTable: (ref) => ask((host) => host.processTable(ref)),
      stats: (ref) => ask((host) => host.stats(ref)),
      statsOf: (request) => ask((host) => host.statsOf(request)),
      writeStdin: (request) => ask((host) => host.writeStdin(request)),
      closeStdin: (ref) => ask((host) => host.closeStdin(ref)),
      resize: (request) => ask((host) => host.resize(request)),
      watch
    })
  }

  const breakAll = (which: (call: UnderWay) => boolean) => {
    for (const call of Array.from(underWay).filter(which)) {
      call.stop()
      if (call.daemon.alive) call.lost()
    }
  }

  return {
    seenBy,
    wire,
    deaths: () => deaths,
    isUp: () => current.service !== null,
    cut: () => breakAll(() => true),
    hangUp: (daemon) => breakAll((call) => call.daemon === daemon),
    kill: () => {
      const { close, domain } = current
      deaths++
      kernel.kill(domain)
      breakAll(() => true)
      close()
      current = begin()
    }
  }
}

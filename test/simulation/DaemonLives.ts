/**
 * The lives of the daemon, one after the other over the same store: the real actors, recovery, event bus, registries and RPC handlers. What it was doing when it is killed is cut off;
 * of a commit that was under way the store has all or nothing.
 */
import { Cause, Context, Effect, Exit, Layer, Scope } from "effect"
import * as Berth from "../../src/actors/Berth.ts"
import { ResourceExhausted, Unavailable } from "../../src/schema/Errors.ts"
import type { BerthError } from "../../src/schema/Errors.ts"
import { Config } from "../../src/services/Config.ts"
import { MetadataStore } from "../../src/services/MetadataStore.ts"
import { OciRuntime } from "../../src/services/OciRuntime.ts"
import { OutputLog } from "../../src/services/OutputLog.ts"
import { ProcessHost } from "../../src/services/ProcessHost.ts"
import { System } from "../../src/services/System.ts"
import { config } from "../support/pretended.ts"
import * as Connections from "./Connections.ts"
import type { Api, Door } from "./Connections.ts"
import type { HostLives } from "./HostLives.ts"
import { build } from "./Kernel.ts"
import type { Domain, Kernel } from "./Kernel.ts"
import type { Machine } from "./Machine.ts"

export type { Api } from "./Connections.ts"
export type Store = MetadataStore["Service"]

/** Where the store lives: `open` gives it to a daemon, `close` is called when that daemon is dead and calls back when the next may open it. */
export interface Disk {
  readonly open: (daemon: Domain) => Effect.Effect<Store, unknown>
  readonly close: (daemon: Domain, then: () => void) => void
  readonly remove: () => void
}

interface Life {
  readonly domain: Domain
  door: Door | null
}

export interface DaemonLives {
  /** Asks as a client does; Unavailable where no daemon listens, or the connection ends before the answer. Gives the way to hang up. */
  readonly ask: <A>(
    what: Effect.Effect<A, BerthError, Api>,
    done: (exit: Exit.Exit<A, BerthError>) => void
  ) => () => void
  readonly kill: () => void
  /** Breaks a connection of clients; false where there is none. */
  readonly cut: () => boolean
  readonly isUp: () => boolean
  /** While it is full, most commits fail. */
  readonly disk: { full: boolean }
  readonly deaths: () => number
}

const gone = new Unavailable({ what: "daemon", problem: "its client hung up", mend: null })

export const make = (
  kernel: Kernel,
  parts: {
    readonly machine: Machine
    /** Where the clients live. */
    readonly clients: Domain
    readonly hosts: HostLives
    readonly store: Disk
    readonly log: (line: string) => void
    readonly wrong: (what: string) => void
    /** Wraps the store of the daemon, for mutations. */
    readonly wrap?: (inner: Store, kernel: Kernel, daemon: Domain) => Store
  }
): DaemonLives => {
  const { clients, hosts, log, machine, store, wrap, wrong } = parts
  const { random } = kernel
  const disk = { full: false }
  const system = System.of({
    info: Effect.fail(gone),
    runtimes: machine.runtime.list,
    orphans: () => Effect.fail(gone)
  })
  let count = 0
  let deaths = 0

  /** Takes its time, before and after, and has its wants. */
  const moody = (inner: Store): Store => {
    const late = Effect.suspend(() => (random.chance(0.3) ? Effect.sleep(random.int(1, 30)) : Effect.void))
    const room = Effect.suspend(() =>
      disk.full && random.chance(0.8) ? Effect.fail(new ResourceExhausted({ resource: "disk", limit: 0 })) : Effect.void
    )
    return {
      ...inner,
      commit: (changes, fresh) =>
        late.pipe(Effect.andThen(room), Effect.andThen(inner.commit(changes, fresh)), Effect.tap(late))
    }
  }

  const fresh = (): Life => ({ domain: kernel.domain(`daemon${++count}`), door: null })

  const start = (life: Life, delay: number) => {
    const { domain } = life
    const boot = Effect.gen(function* () {
      const opened = moody(yield* store.open(domain))
      const services = yield* Layer.build(Layer.fresh(Berth.layer)).pipe(
        Effect.provideService(MetadataStore, MetadataStore.of(wrap?.(opened, kernel, domain) ?? opened)),
        Effect.provideService(ProcessHost, hosts.seenBy(domain)),
        Effect.provideService(OciRuntime, machine.runtime),
        Effect.provideService(OutputLog, machine.outputLog),
        Effect.provideService(Config, config),
        Effect.provideService(Scope.Scope, Scope.makeUnsafe())
      )
      return yield* network.serve(domain, Context.add(services, System, system))
    })
    kernel.after(domain, delay, () => {
      kernel.fork(domain, boot).addObserver((exit) => {
        if (!domain.alive) return
        if (Exit.isFailure(exit)) return wrong(`the daemon does not start: ${Cause.pretty(exit.cause)}`)
        log(`${domain.name} is up`)
        life.door = exit.value
      })
    })
  }
  const network = Connections.make(kernel)
  let current = fresh()
  const connect = () =>
    build(
      kernel,
      clients,
      network.connect(clients, () => current.door)
    )
  const ends = [connect(), connect(), connect()] as const
  start(current, 0)

  return {
    disk,
    deaths: () => deaths,
    isUp: () => current.door !== null,
    ask: (what, done) => {
      const { api } = random.pick(ends)
      let over = false
      const finish = (exit: Parameters<typeof done>[0]) => {
        if (over) return
        over = true
        done(exit)
      }
      const fiber = kernel.fork(clients, Effect.provideContext(what, api))
      fiber.addObserver(finish)
      return () => {
        finish(Exit.fail(gone))
        kernel.after(clients, 0, () => fiber.interruptUnsafe())
      }
    },
    cut: () => random.pick(ends).cut(),
    kill: () => {
      const { domain, door } = current
      deaths++
      kernel.kill(domain)
      hosts.hangUp(domain)
      door?.dies()
      const next = fresh()
      current = next
      store.close(domain, () => start(next, random.chance(0.5) ? random.int(0, 500) : 0))
    }
  }
}

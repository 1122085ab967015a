/**
 * One thread that owns every turn and every moment of a simulation. Fibers run in domains, which stand for operating-system processes: when a domain is killed,
 * none of its fibers takes another turn and none of its finalizers runs, as after kill -9. Which fiber of which domain goes next is drawn from the seed, and so
 * is where a fiber yields. Nothing here waits for the real clock or the real event loop.
 */
import { Cause, Clock, Context, Duration, Effect, Exit, Logger, References, Scheduler } from "effect"
import type { Fiber } from "effect"
import type { Random } from "./Random.ts"

/** Something that runs and can be killed. */
export interface Domain {
  readonly name: string
  readonly alive: boolean
  /** Clock and scheduler of its fibers. */
  readonly context: Context.Context<never>
}

export interface Kernel {
  readonly random: Random
  readonly now: () => number
  /** Turns taken so far. */
  readonly turns: () => number
  readonly domain: (name: string) => Domain
  /** No fiber of it runs again. */
  readonly kill: (domain: Domain) => void
  /** Does that in so many milliseconds, unless the domain is dead by then; without a delay, in some later turn. Gives the way to call it off. */
  readonly after: (domain: Domain, milliseconds: number, run: () => void) => () => void
  /** Starts a fiber in a domain. */
  readonly fork: <A, E>(domain: Domain, effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
  /** The outcome of an effect in another domain, as a message there and a message back. Interruption goes there too. */
  readonly call: <A, E>(from: Domain, to: Domain, effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** Takes one turn; false where nobody is ready. */
  readonly turn: () => boolean
  /** Moves the clock to the next timer that is due within so many milliseconds from now; where there is none, to the end of that time, and gives false. */
  readonly pass: (milliseconds: number) => boolean
}

interface Task {
  readonly domain: Domain
  readonly run: () => void
}

interface Timer extends Task {
  readonly at: number
}

/** How often a fiber yields to others where it need not. */
const yielding = 0.02

export const make = (random: Random, log: (line: string) => void): Kernel => {
  const dead = new WeakSet<Domain>()
  let ready: Array<Task> = []
  /** The earliest last. */
  let timers: Array<Timer> = []
  let now = 0
  let turns = 0

  const after: Kernel["after"] = (domain, milliseconds, run) => {
    if (dead.has(domain)) return () => {}
    if (milliseconds <= 0) {
      const task: Task = { domain, run }
      ready.push(task)
      return () => {
        ready = ready.filter((other) => other !== task)
      }
    }
    const timer: Timer = { domain, run, at: now + milliseconds }
    const later = timers.findLastIndex(({ at }) => at > timer.at)
    timers.splice(later + 1, 0, timer)
    return () => {
      timers = timers.filter((other) => other !== timer)
    }
  }

  const schedulerOf = (domain: () => Domain): Scheduler.Scheduler => ({
    executionMode: "async",
    shouldYield: () => random.chance(yielding),
    makeDispatcher: () => ({
      scheduleTask: (run) => void after(domain(), 0, run),
      flush: () => {}
    })
  })

  const clockOf = (domain: () => Domain): Clock.Clock => {
    const nanos = () => BigInt(now) * 1_000_000n
    return {
      currentTimeMillisUnsafe: () => now,
      currentTimeMillis: Effect.sync(() => now),
      currentTimeNanosUnsafe: nanos,
      currentTimeNanos: Effect.sync(nanos),
      monotonicTimeNanosUnsafe: nanos,
      monotonicTimeNanos: Effect.sync(nanos),
      sleep: (duration) => {
        const milliseconds = Duration.toMillis(duration)
        if (milliseconds <= 0) return Effect.void
        if (milliseconds === Infinity) return Effect.never
        return Effect.callback<void>((resume) => {
          const forget = after(domain(), Math.ceil(milliseconds), () => resume(Effect.void))
          return Effect.sync(forget)
        })
      }
    }
  }

  const domain: Kernel["domain"] = (name) => {
    const logger = Logger.make(({ logLevel, message }) => {
      if (logLevel === "Warn" || logLevel === "Error" || logLevel === "Fatal")
        log(`${name} ${logLevel}: ${text(message)}`)
    })
    const self = (): Domain => made
    const context = Context.empty().pipe(
      Context.add(Scheduler.Scheduler, schedulerOf(self)),
      Context.add(Clock.Clock, clockOf(self)),
      Context.add(Logger.CurrentLoggers, new Set([logger])),
      Context.add(References.TracerEnabled, false)
    )
    const made: Domain = {
      name,
      context,
      get alive() {
        return !dead.has(made)
      }
    }
    return made
  }

  const fork: Kernel["fork"] = ({ context }, effect) => Effect.runForkWith(context)(effect)

  const call: Kernel["call"] = <A, E>(from: Domain, to: Domain, effect: Effect.Effect<A, E>) =>
    Effect.callback<A, E>((resume) => {
      let fiber: Fiber.Fiber<A, E> | null = null
      const forget = after(to, 0, () => {
        fiber = fork(to, effect)
        fiber.addObserver((exit) => after(from, 0, () => resume(exit)))
      })
      return Effect.callback<void>((stopped) => {
        if (fiber === null) {
          forget()
          return stopped(Effect.void)
        }
        fiber.addObserver(() => after(from, 0, () => stopped(Effect.void)))
        const running = fiber
        after(to, 0, () => running.interruptUnsafe())
      })
    })

  return {
    random,
    now: () => now,
    turns: () => turns,
    domain,
    kill: (domain) => {
      dead.add(domain)
      ready = ready.filter((task) => task.domain !== domain)
      timers = timers.filter((timer) => timer.domain !== domain)
    },
    after,
    fork,
    call,
    turn: () => {
      if (ready.length === 0) return false
      const at = random.int(0, ready.length - 1)
      const [task] = ready.splice(at, 1)
      turns++
      task?.run()
      return true
    },
    pass: (milliseconds) => {
      const next = timers.at(-1)
      if (next === undefined || next.at > now + milliseconds) {
        now += milliseconds
        return false
      }
      now = Math.max(now, next.at)
      timers.pop()
      ready.push(next)
      return true
    }
  }
}

const text = (message: unknown): string =>
  (Array.isArray(message) ? message : [message]).map((part) => (typeof part === "string" ? part : "")).join(" ")

const turnsToBuild = 10_000

/** Takes turns until an effect of that domain has ended, which it must soon and without the clock. */
export const build = <A, E>(kernel: Kernel, domain: Domain, effect: Effect.Effect<A, E>): A => {
  const fiber = kernel.fork(domain, effect)
  for (let turn = 0; turn < turnsToBuild && fiber.pollUnsafe() === undefined; turn++) kernel.turn()
  return valueOf(fiber)
}

/** The value that a fiber has ended with. Throws where it goes on, or has failed. */
const valueOf = <A, E>(fiber: Fiber.Fiber<A, E>): A => {
  const exit = fiber.pollUnsafe()
  if (exit === undefined) throw new Error("it goes on")
  if (Exit.isFailure(exit)) throw new Error(`it failed: ${Cause.pretty(exit.cause)}`)
  return exit.value
}

/** `berth daemon`: parses what a daemon is told; what it does is loaded only when there is one to be. */
import { Effect, Option, Path, Queue, References } from "effect"
import { Command, Flag, GlobalFlag } from "effect/cli"
import { Signals } from "../Signals.ts"

const defaults = { root: "/var/lib/berth", state: "/run/berth", runtime: "auto" } as const

/** Signals that end a daemon in good order. */
const ending = [2, 15]

/** Its end is a success: the containers go on, and whoever supervises it must not think that it failed. */
const untilAsked = <A, E, R>(daemon: Effect.Effect<A, E, R>) =>
  Effect.scoped(
    Effect.gen(function* () {
      const signals = yield* (yield* Signals).take
      const asked = Queue.take(signals).pipe(
        Effect.repeat({ until: (signal) => ending.includes(signal) }),
        Effect.asVoid
      )
      yield* Effect.raceFirst(daemon, asked)
    })
  )

export const daemon = Command.make(
  "daemon",
  {
    root: Flag.String("root").pipe(
      Flag.withMetavar("<DIR>"),
      Flag.withDescription(`Durable folder, default ${defaults.root}`),
      Flag.withDefault(defaults.root)
    ),
    state: Flag.String("state").pipe(
      Flag.withMetavar("<DIR>"),
      Flag.withDescription(`Volatile folder, default ${defaults.state}`),
      Flag.withDefault(defaults.state)
    ),
    listen: Flag.String("listen").pipe(
      Flag.withMetavar("<URL>"),
      Flag.withDescription("Where to listen, may be given again; default unix://STATE/berth.sock"),
      Flag.atLeast(0)
    ),
    runtime: Flag.String("runtime").pipe(
      Flag.withMetavar("<NAME>"),
      Flag.withDescription("The runtime of containers that name none; default auto, the best that works"),
      Flag.withDefault(defaults.runtime)
    ),
    enableHostDriver: Flag.Boolean("enable-host-driver").pipe(
      Flag.withDescription("Allow --runtime host: plain processes of this machine, which are not isolated"),
      Flag.withDefault(false)
    ),
    config: Flag.Path("config").pipe(
      Flag.withMetavar("<FILE>"),
      Flag.withDescription("A JSON file with more settings"),
      Flag.optional
    )
  },
  ({ config, enableHostDriver, listen, root, runtime, state }) =>
    Effect.gen(function* () {
      const level = Option.getOrElse(yield* GlobalFlag.LogLevel, () => "Info" as const)
      const { runDaemon } = yield* Effect.promise(() => import("../../layers/Daemon.ts"))
      const addresses = listen.length > 0 ? listen : [`unix://${(yield* Path.Path).resolve(state)}/berth.sock`]
      const rest = { runtime, hostDriver: enableHostDriver, config: Option.getOrNull(config) }
      yield* untilAsked(runDaemon({ root, state, listen: addresses, ...rest })).pipe(
        Effect.provideService(References.MinimumLogLevel, level)
      )
    })
).pipe(
  Command.withDescription(
    "Supervise containers and serve those who ask; SIGTERM ends it and leaves the containers running"
  ),
  Command.withExamples([
    { command: "berth daemon" },
    {
      command: "berth daemon --root ~/berth --state /tmp/berth --listen unix:///tmp/berth/berth.sock",
      description: "A second one beside it"
    },
    {
      command: "berth daemon --root ~/berth --state /tmp/berth --enable-host-driver --runtime host",
      description: "Without root and without a runtime: processes of this machine, not isolated"
    }
  ])
)

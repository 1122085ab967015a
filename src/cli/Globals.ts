/**
 * The root command with the options that every command has, and what they mean: `connected` gives a command the services of the daemon in the chosen
 * namespace. The environment stands in for an option that is not given; an empty variable counts as absent.
 */
import { Config, Effect } from "effect"
import { Command, Flag } from "effect/cli"
import { Namespace } from "../schema/Ids.ts"
import { CurrentNamespace } from "../services/CurrentNamespace.ts"
import { Connection } from "./Connection.ts"

/** Where the daemon of this machine listens. */
export const defaultAddress = "unix:///run/berth/berth.sock"

const text = (name: string, variable: string, absent: string) =>
  Flag.String(name).pipe(
    Flag.withFallbackConfig(Config.String(variable)),
    Flag.withDefault(absent),
    Flag.map((value) => (value === "" ? absent : value))
  )

/** `berth` itself, before its commands. */
export const root = Command.make("berth").pipe(
  Command.withSharedFlags({
    address: text("address", "BERTH_ADDRESS", defaultAddress).pipe(
      Flag.withDescription(
        `Where the daemon listens: unix:///PATH, http://HOST:PORT or https://…; BERTH_ADDRESS, default ${defaultAddress}`
      )
    ),
    namespace: text("namespace", "BERTH_NAMESPACE", "default").pipe(
      Flag.withSchema(Namespace),
      Flag.withAlias("n"),
      Flag.withDescription("The scope of ids and events; BERTH_NAMESPACE, default default")
    ),
    token: text("token", "BERTH_TOKEN", "").pipe(
      Flag.withDescription("What the daemon asks for to let you in; BERTH_TOKEN")
    ),
    json: Flag.Boolean("json").pipe(
      Flag.withoutNegation,
      Flag.withDefault(false),
      Flag.withDescription("Print one JSON document, or one a line for streams, and errors as JSON too")
    )
  }),
  Command.withDescription("Run and supervise containers")
)

/** Whether the user asked for JSON. */
export const wantsJson = Effect.map(root, ({ json }) => json)

/** Gives an effect the services of the daemon that the options name, in the namespace that they name. */
export const connected = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.gen(function* () {
    const { address, namespace, token } = yield* root
    const connection = yield* Connection
    return yield* effect.pipe(
      Effect.provide(connection.to({ address, token: token === "" ? undefined : token })),
      Effect.provideService(CurrentNamespace, namespace)
    )
  })

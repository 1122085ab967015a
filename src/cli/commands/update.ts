/** `berth update`: other limits and annotations for a container that lives; without options it shows those that it has. */
import { Effect, Option } from "effect"
import { Command, Flag } from "effect/cli"
import { Cpus, SizeLimit } from "../../schema/Units.ts"
import { Tasks } from "../../services/Tasks.ts"
import * as ResourceOptions from "../../spec/ResourceOptions.ts"
import { connected, wantsJson } from "../Globals.ts"
import { Output } from "../Output.ts"
import * as Json from "../output/Json.ts"
import * as LimitTable from "../output/LimitTable.ts"
import { misuse } from "../output/Usage.ts"
import * as Params from "../Params.ts"
import { annotationChanges } from "../run/Annotations.ts"
import { specFlags } from "../run/Flags.ts"
import { deviceLimits, resourceFlags } from "../run/ResourceFlags.ts"
import { optionOf } from "../run/SpecInput.ts"

const size = (name: string, description: string) =>
  Flag.String(name).pipe(
    Flag.withSchema(SizeLimit),
    Flag.withMetavar("<SIZE>"),
    Flag.withDescription(`${description}, -1 for no limit`),
    Flag.optional
  )

const flags = {
  memory: size("memory", "Most memory, such as 64m or 1g"),
  memoryReservation: size("memory-reservation", "Memory that it keeps when memory is short"),
  memorySwap: size("memory-swap", "Most memory and swap together"),
  cpus: Flag.String("cpus").pipe(
    Flag.withSchema(Cpus),
    Flag.withMetavar("<N>"),
    Flag.withDescription("Most processor time, such as 1.5 processors; --cpu-quota -1 for no limit"),
    Flag.optional
  ),
  cpuShares: specFlags.cpuShares,
  cpusetCpus: specFlags.cpusetCpus,
  cpusetMems: specFlags.cpusetMems,
  pidsLimit: specFlags.pidsLimit,
  blkioWeight: specFlags.blkioWeight,
  ...resourceFlags,
  annotation: Params.texts("annotation", "<NAME=VALUE>", "An annotation to set"),
  removeAnnotation: Params.texts("remove-annotation", "<NAME>", "An annotation to take away")
} as const

/** The options of plain numbers that were given. */
const numbersOf = (given: Command.Command.Config.Infer<typeof flags>): ResourceOptions.ResourceOptions => {
  const { blkioWeight, cpuPeriod, cpuQuota, cpuShares, cpus, cpusetCpus, cpusetMems, pidsLimit } = given
  const { memory, memoryReservation, memorySwap } = given
  const numbers = {
    memory,
    memoryReservation,
    memorySwap,
    cpus,
    cpuShares,
    cpuQuota,
    cpuPeriod,
    pidsLimit,
    blkioWeight
  }
  return Object.fromEntries(
    Object.entries({ ...numbers, cpusetCpus, cpusetMems }).flatMap(([name, value]) =>
      Option.isSome<number | string>(value) ? [[name, value.value]] : []
    )
  )
}

export const update = Command.make("update", { id: Params.id, ...flags }, ({ id, ...given }) =>
  connected(
    Effect.gen(function* () {
      const devices = Option.getOrNull(yield* deviceLimits("update", given))
      const resources = yield* Effect.mapError(
        Effect.fromResult(
          ResourceOptions.make({ ...numbersOf(given), ...(devices === null ? {} : { resources: devices }) })
        ),
        ({ field, problem }) => misuse("update", optionOf(field), problem)
      )
      const annotations = yield* annotationChanges("update", given)
      const result = yield* (yield* Tasks).update({
        id,
        ...(Object.keys(resources).length === 0 ? {} : { resources }),
        ...(Object.keys(annotations).length === 0 ? {} : { annotations })
      })
      const { colors, write } = yield* Output
      yield* write((yield* wantsJson) ? Json.document(Json.updateResult(result)) : LimitTable.render(result, colors))
    })
  )
).pipe(
  Command.withDescription("Change the limits of a container that lives, all of them or none, and show what holds then"),
  Command.withExamples([
    { command: "berth update web", description: "What holds now" },
    { command: "berth update --memory 64m --cpus 1.5 --pids-limit 100 web" },
    { command: "berth update --device-write-bps /dev/sda:10m --annotation team=blue web" }
  ])
)

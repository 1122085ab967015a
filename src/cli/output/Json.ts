/** The JSON documents of `--json`. Every one is on a line of its own; integers that a double cannot hold exactly are written as the specification has them. */
import { Schema } from "effect"
import { Container } from "../../schema/Container.ts"
import { Consumer, Event } from "../../schema/Events.ts"
import * as OciJson from "../../schema/OciJson.ts"
import { OciSpec } from "../../schema/OciSpec.ts"
import { Exit, Process } from "../../schema/Process.ts"
import { ServerInfo, StopResult, UpdateResult } from "../../schema/Requests.ts"
import { DriverInfo } from "../../schema/Runtime.ts"
import { ProcessInfo, Stats } from "../../schema/Stats.ts"
import { Task } from "../../schema/Task.ts"

declare global {
  interface JSON {
    /** A number as written; Node has it, the library of the compiler not yet. */
    rawJSON(text: string): unknown
  }
}

/** One document on one line. */
export const document = (value: Schema.Json): string => `${OciJson.stringify(value)}\n`

/** The same for people: indented, with the same integers. */
export const pretty = (value: Schema.Json): string => {
  const exact = (_: string, item: unknown) =>
    typeof item === "number" && Number.isInteger(item) && !Number.isSafeInteger(item)
      ? JSON.rawJSON(OciJson.stringify(item))
      : item
  return `${JSON.stringify(value, exact, 2)}\n`
}

const encoder = <A, I extends Schema.Json>(schema: Schema.Codec<A, I>) => Schema.encodeSync(schema)

export const container = encoder(Container)
export const task = encoder(Task)
export const process = encoder(Process)
export const exit = encoder(Exit)
export const stats = encoder(Stats)
export const processInfo = encoder(ProcessInfo)
const encodeEvent = encoder(Event)
/** In the order that people read: when and where before what. */
export const event = (value: Event) => {
  const { event, namespace, seq, time, topic } = encodeEvent(value)
  return { seq, time, namespace, topic, event }
}
export const consumer = encoder(Consumer)
export const driver = encoder(DriverInfo)
export const serverInfo = encoder(ServerInfo)
export const stopResult = encoder(StopResult)
export const updateResult = encoder(UpdateResult)
export const spec = encoder(OciSpec)

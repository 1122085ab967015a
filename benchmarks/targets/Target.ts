/** One way to run a container, cut into the same steps for all, so that they are timed by the same code. */
import type { StepName } from "../Protocol.ts"

export interface Target {
  /** The steps that make up the lifecycle here; the others are preparation. */
  readonly counted: ReadonlyArray<StepName>
  readonly record: (id: string, args: ReadonlyArray<string>) => Promise<void>
  readonly create: (id: string) => Promise<void>
  readonly start: (id: string) => Promise<void>
  /** The exit status. */
  readonly wait: (id: string) => Promise<number>
  readonly kill: (id: string) => Promise<void>
  readonly delete: (id: string) => Promise<void>
  readonly unrecord: (id: string) => Promise<void>
  readonly close: () => Promise<void>
}

/**
 * What the benchmark and its measuring processes say to each other, one JSON text a message. It needs no package at run
 * time: a measuring process that starts runtimes itself must stay small, because a fork costs what the parent has in
 * memory.
 */

/**
 * What is measured. `daemon-log` is `daemon` with the structured log that tasks have by default; the others keep no
 * output.
 */
export const targetNames = ["bare", "embedded", "daemon", "daemon-log", "containerd"] as const
export type TargetName = (typeof targetNames)[number]

/** The parts of a lifecycle, in order. */
export const stepNames = ["record", "create", "start", "wait", "delete", "unrecord"] as const
export type StepName = (typeof stepNames)[number]

export interface Settings {
  readonly target: TargetName
  /** `runc`, `crun` … */
  readonly runtime: string
  /** Where that program is. */
  readonly binary: string
  /** Begins every identifier: containers of two measuring processes must not meet. */
  readonly prefix: string
  /** For what outlives a restart of the machine, and for what does not. */
  readonly durable: string
  readonly volatile: string
  /** Of the server, where the target has one. */
  readonly socket: string
  /** The OCI specification of every container, as the runtimes read it, but for the arguments and the cgroup. */
  readonly spec: string
}

export type Request =
  | { readonly _tag: "Open"; readonly settings: Settings }
  | { readonly _tag: "Run"; readonly count: number; readonly concurrency: number }
  | { readonly _tag: "Hold"; readonly count: number }
  | { readonly _tag: "Release" }

/** Milliseconds of the steps of one lifecycle, and of all that count. */
export type Sample = { readonly [step in StepName]?: number } & { readonly total: number }

export type Reply =
  | { readonly _tag: "Done"; readonly samples: ReadonlyArray<Sample>; readonly milliseconds: number }
  | { readonly _tag: "Failed"; readonly problem: string }

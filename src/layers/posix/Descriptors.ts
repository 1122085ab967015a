/**
 * Whether this process has descriptors left. Whoever would hold many of them for what is only better to have, or begins what takes many, asks first: the end of a
 * process can be told, and its container be deleted, only while some are free.
 */
import { Effect } from "effect"
import { closeSync, openSync } from "node:fs"
import { codeOf, isExhausted } from "./Libc.ts"

/** What stays free for the ends of processes, and for the runtimes that clear away after them. */
export const spare = 16

/** What the streams of a process take at most, with some of what it takes to make it. */
export const forStreams = 8

/** Whether so many more can be opened now. */
export const hasRoom = (count: number): Effect.Effect<boolean> =>
  Effect.sync(() => {
    const fds: Array<number> = []
    try {
      while (fds.length < count) fds.push(openSync("/dev/null", "r"))
      return true
    } catch (error) {
      return !isExhausted(codeOf(error))
    } finally {
      for (const fd of fds) closeSync(fd)
    }
  })

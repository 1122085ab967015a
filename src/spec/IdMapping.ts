/** Ranges of user and group ids of a user namespace, as users write them: `CONTAINER:HOST:SIZE`. */
import { Result } from "effect"
import type { OciIdMapping } from "../schema/OciSpec.ts"
import { fail, type Problem } from "./Problem.ts"

const highest = 2 ** 32 - 1

/** A mapping from `0:100000:65536`. */
export const parse = (field: string, text: string): Result.Result<OciIdMapping, Problem> => {
  const match = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(text)
  if (match === null) return fail(field, `expected CONTAINER:HOST:SIZE such as 0:100000:65536, got "${text}"`)
  const [containerID, hostID, size] = match.slice(1).map(Number)
  return Result.map(check(field, [{ containerID, hostID, size }]), ([mapping]) => mapping)
}

/** The same mappings if each range is possible and no two overlap, inside or outside. */
export const check = (
  field: string,
  mappings: ReadonlyArray<OciIdMapping>
): Result.Result<ReadonlyArray<OciIdMapping>, Problem> => {
  for (const { containerID, hostID, size } of mappings) {
    if (size < 1) return fail(field, "a range must hold at least one id")
    if (Math.min(containerID, hostID) < 0 || Math.max(containerID, hostID) + size - 1 > highest) {
      return fail(field, `${containerID}:${hostID}:${size} leaves the range of ids`)
    }
  }
  const overlap = (side: "containerID" | "hostID") => {
    const sorted = mappings.toSorted((a, b) => a[side] - b[side])
    return sorted.some((mapping, i) => i > 0 && sorted[i - 1][side] + sorted[i - 1].size > mapping[side])
  }
  return overlap("containerID") || overlap("hostID") ? fail(field, "two ranges overlap") : Result.succeed(mappings)
}

/** Whether an id of the container stands for one of the host. */
export const covers = (mappings: ReadonlyArray<OciIdMapping>, id: number): boolean =>
  mappings.some(({ containerID, size }) => id >= containerID && id < containerID + size)

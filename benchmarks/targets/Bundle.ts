/** The specification of one container as text: the common one with its arguments and a cgroup of its own. */
import { stringify } from "../../src/schema/OciJson.ts"

/** `spec` is berth's own writing, parsed again: numbers past 2^53 come out as they went in. */
export const specOf = (spec: string, id: string, args: ReadonlyArray<string>): string => {
  const base = JSON.parse(spec)
  return stringify({
    ...base,
    process: { ...base.process, args },
    linux: { ...base.linux, cgroupsPath: `/${id}` }
  })
}

/**
 * Devices of the host that a user asks for. The text of `--device /dev/fuse:/dev/fuse:rwm` says where the device is;
 * what it is (type and numbers) only the host knows, so a lookup is passed in.
 */
import { Result, Schema } from "effect"
import type { OciDevice } from "../schema/OciSpec.ts"
import type { DeviceRule } from "../schema/Resources.ts"
import { fail, type Problem } from "./Problem.ts"

/** A device to give to the container: its path on the host, its path inside, and what may be done with it. */
export const DeviceRequest = Schema.Struct({
  source: Schema.String,
  destination: Schema.optionalKey(Schema.String),
  access: Schema.optionalKey(Schema.String)
})
export type DeviceRequest = typeof DeviceRequest.Type

/** What a device node of the host is: character or block, and its numbers. */
export interface HostDevice {
  readonly type: "c" | "b"
  readonly major: number
  readonly minor: number
  readonly fileMode?: number
  readonly uid?: number
  readonly gid?: number
}

const field = "device"
const isAccess = (text: string) => /^[rwm]{1,3}$/.test(text) && new Set(text).size === text.length

/** A request from `SOURCE[:DESTINATION][:ACCESS]`, access being any of `r`, `w` and `m`. */
export const parse = (text: string): Result.Result<DeviceRequest, Problem> => {
  const [source = "", second, third, ...rest] = text.split(":")
  if (rest.length > 0 || source === "") return fail(field, `expected SOURCE[:DESTINATION][:rwm], got "${text}"`)
  if (second === undefined) return Result.succeed({ source })
  if (third === undefined) {
    return Result.succeed(isAccess(second) ? { source, access: second } : { source, destination: second })
  }
  return Result.succeed({ source, destination: second, access: third })
}

/** The node to make and the rule that allows it. */
export const resolve = (
  request: DeviceRequest,
  lookup: ((path: string) => HostDevice | undefined) | undefined
): Result.Result<{ readonly node: OciDevice; readonly rule: DeviceRule }, Problem> => {
  const { access = "rwm", destination = request.source, source } = request
  const bad = [source, destination].find((path) => !path.startsWith("/") || path.split("/").includes(".."))
  if (bad !== undefined) return fail(field, `"${bad}" is not an absolute path without ".."`)
  if (!isAccess(access)) return fail(field, `access must be made of r, w and m, got "${access}"`)
  const found = lookup?.(source)
  if (found === undefined) return fail(field, `"${source}" is not a device of this host`)
  const { major, minor, type } = found
  return Result.succeed({ node: { ...found, path: destination }, rule: { allow: true, type, major, minor, access } })
}

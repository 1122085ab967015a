/**
 * `--security-opt`: `label=…` for SELinux and `apparmor=…`. A label is either a whole context or changes of the usual
 * container context, one part at a time. No label is chosen where none is asked for: only a host knows its policy.
 */
import { Result } from "effect"
import { fail, type Problem } from "./Problem.ts"

/** What the options amount to; absent members leave the host's defaults. */
export interface SecurityLabels {
  readonly process?: string
  readonly mount?: string
  readonly apparmor?: string
}

const field = "securityOpt"
const parts = ["user", "role", "type", "level"] as const

/** The labels of a list of `label=disable`, `label=[user|role|type|level|filetype]:…`, `label=CONTEXT`, `apparmor=…`. */
export const resolve = (options: ReadonlyArray<string>): Result.Result<SecurityLabels, Problem> => {
  const chosen = new Map<string, string>()
  for (const option of options) {
    const match = /^(label|apparmor)[=:](.+)$/.exec(option)
    if (match === null) return fail(field, `expected label=… or apparmor=…, got "${option}"`)
    const [, name, value] = match
    const part = /^(user|role|type|level|filetype):(.+)$/.exec(value)
    if (name === "apparmor") chosen.set("apparmor", value)
    else if (value === "disable" || part === null) chosen.set(value === "disable" ? "disable" : "context", value)
    else chosen.set(part[1], part[2])
  }
  const context = chosen.get("context")
  if (context !== undefined && !/^[^:\s]+:[^:\s]+:[^:\s]+(?::\S+)?$/.test(context)) {
    return fail(field, `"${context}" is not a context (user:role:type:level)`)
  }
  const apparmor = chosen.get("apparmor")
  const rest = apparmor === undefined ? {} : { apparmor }
  if (chosen.has("disable") || ![...parts, "filetype", "context"].some((part) => chosen.has(part))) {
    return Result.succeed(rest)
  }
  const [user, role, type, ...level] = (context ?? "system_u:system_r:container_t:s0").split(":")
  const given: { readonly [part: string]: string } = { user, role, type, level: level.join(":") || "s0" }
  const get = (part: string) => chosen.get(part) ?? given[part]
  const fileType = chosen.get("filetype") ?? "container_file_t"
  return Result.succeed({
    ...rest,
    process: parts.map(get).join(":"),
    mount: `${get("user")}:object_r:${fileType}:${get("level")}`
  })
}

/**
 * The better reason for a `create` that failed on a limit for which this kernel has no file. Runtimes name the file, in words of their own around it; which
 * files there are shows only in a group, so it is looked for when one has failed. The words are those of a live update.
 */
import { Unsupported } from "../../schema/Errors.ts"
import type { RuntimeFailed } from "../../schema/Errors.ts"

const files: ReadonlyArray<readonly [RegExp, (part: string) => string]> = [
  [/\b(?:blkio|io)\.(?:bfq\.)?weight\b/, () => "blockIO.weight"],
  [/\bblkio\.throttle\.(read|write)_(?:bps|iops)_device\b|\bio\.max\b/, () => "blockIO throttles"],
  [/\bhugetlb\.(\d+[KMG]B)\./, (size) => `hugepageLimits ${size}`],
  [/\bcpuset\.(cpus|mems)\b/, (set) => `cpu.${set}`]
]

/** `null` where something else was wrong. */
export const missingLimit = ({ detail, log, runtime }: RuntimeFailed): Unsupported | null => {
  const line = [detail, ...log].find((text) => /no such file or directory/i.test(text))
  if (line === undefined) return null
  for (const [file, key] of files) {
    const found = file.exec(line)
    if (found !== null) return new Unsupported({ driver: runtime, capability: `${key(found[1] ?? "")} on this host` })
  }
  return null
}

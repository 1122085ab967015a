/** One value of the kernel: a small file, or a part of one. Reading and writing throw what the system says. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"

export interface Knob {
  /** -1 is no limit. */
  readonly read: () => number | string
  readonly write: (value: number | string) => void
}

export const get = (file: string): string => readFileSync(file, "utf8").trim()

/** The kernel takes a value in one write. */
export const put = (file: string, text: string): void => writeFileSync(file, text)

/** The first of these files that is there. */
export const existing = (folder: string | null | undefined, names: ReadonlyArray<string>): string | null => {
  if (folder === null || folder === undefined) return null
  return names.map((name) => `${folder}/${name}`).find((file) => existsSync(file)) ?? null
}

/** Of lines `8:0 1048576`. */
export const rows = (file: string): ReadonlyMap<string, number> =>
  new Map(
    get(file)
      .split("\n")
      .flatMap((line) => {
        const [device = "", rate = ""] = line.split(" ")
        return /^\d+:\d+$/.test(device) ? [[device, Number(rate)] as const] : []
      })
  )

/** The sizes of huge pages that have a file of that name. */
export const pageSizes = (folder: string | null | undefined, name: RegExp): ReadonlyArray<string> =>
  folder === null || folder === undefined ? [] : readdirSync(folder).flatMap((file) => name.exec(file)?.[1] ?? [])

/** Amounts for people: three figures and a unit, binary for bytes. What is not known is a dash. */

const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] as const

/** `512 B`, `1.5 MiB`, `120 MiB`. */
export const bytes = (amount: number | null): string => {
  if (amount === null) return "-"
  let value = amount
  let unit = 0
  // What would be rounded to 1024 is one of the next.
  while (value >= 1023.5 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  const digits = unit === 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2
  return `${value.toFixed(digits)} ${units[unit]}`
}

/** Two amounts side by side. */
export const both = (first: number | null, second: number | null): string =>
  first === null && second === null ? "-" : `${bytes(first)} / ${bytes(second)}`

/** `12.3 %` of a part in 1. */
export const percent = (part: number | null): string => (part === null ? "-" : `${(part * 100).toFixed(1)} %`)

/** `1:02:03.4` of nanoseconds: hours where there are any, minutes, seconds to the tenth. */
export const time = (nanoseconds: number): string => {
  const tenths = Math.floor(nanoseconds / 1e8)
  const [hours, minutes, seconds] = [Math.floor(tenths / 36_000), Math.floor(tenths / 600) % 60, (tenths % 600) / 10]
  const rest = seconds.toFixed(1).padStart(4, "0")
  return hours === 0 ? `${minutes}:${rest}` : `${hours}:${`${minutes}`.padStart(2, "0")}:${rest}`
}

/** The few forms that the kernel's files have. An unlimited value is `Infinity`; what is missing or makes no sense is `null`. */

/** Version 1 writes its largest page count, in bytes, for "no limit". */
const unlimited = 2 ** 62

/** One number, or `max`. */
export const amount = (text: string | null): number | null => {
  if (text === null) return null
  const word = text.trim()
  if (word === "max") return Number.POSITIVE_INFINITY
  const value = word === "" ? Number.NaN : Number(word)
  if (!Number.isFinite(value)) return null
  return value >= unlimited ? Number.POSITIVE_INFINITY : Math.max(0, value)
}

/** The value of a key in lines of `key value`. */
export const field = (text: string | null, key: string): number | null => {
  if (text === null) return null
  const line = text.startsWith(`${key} `) ? 0 : text.indexOf(`\n${key} `) + 1
  if (line === 0 && !text.startsWith(`${key} `)) return null
  const start = line + key.length + 1
  const end = text.indexOf("\n", start)
  return amount(text.slice(start, end === -1 ? undefined : end))
}

/** `value` times `unit`; `null` stays. */
export const times = (value: number | null, unit: number): number | null => (value === null ? null : value * unit)

/** `null` for no limit as well as for no value. */
export const finite = (value: number | null): number | null => (value !== null && Number.isFinite(value) ? value : null)

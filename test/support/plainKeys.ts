const rename = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(rename)
  if (value === null || typeof value !== "object" || Object.getPrototypeOf(value) !== Object.prototype) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      Array.from(key, (char) => (JSON.stringify(char) === `"${char}"` ? char : "_")).join(""),
      rename(item)
    ])
  )
}

/**
 * The same value with `_` for every character of its keys that JSON escapes. The `JSON.parse` of Node 24 can take such a key
 * for one with a backslash that it has read before (https://github.com/nodejs/node/issues/63785), so a property over
 * random JSON would fail once in many thousand draws for no fault of berth's.
 */
export const plainKeys = <A>(value: A): A => rename(value) as A

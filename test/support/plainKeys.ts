const isPlain = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype

/**
 * Puts `_` for every character that JSON escapes in the keys of this value, deep within too. The `JSON.parse` of Node 24 can take such a key for one with
 * a backslash that it has read before (https://github.com/nodejs/node/issues/63785), so a property over random JSON would fail once in many thousand draws for
 * no fault of berth's.
 */
export const plainKeys = (value: unknown): void => {
  if (Array.isArray(value)) return value.forEach(plainKeys)
  if (!isPlain(value)) return
  for (const [key, item] of Object.entries(value)) {
    plainKeys(item)
    const plain = Array.from(key, (char) => (JSON.stringify(char) === `"${char}"` ? char : "_")).join("")
    if (plain === key) continue
    delete value[key]
    value[plain] = item
  }
}

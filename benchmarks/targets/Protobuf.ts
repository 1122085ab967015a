/**
 * The wire format of protocol buffers, as much of it as containerd's lifecycle needs: strings, bytes, numbers, flags
 * and messages, nothing repeated.
 */

/**
 * Field numbers and their values. What is `undefined`, empty, zero or false is left out, as proto3 wants it; an empty
 * message is not.
 */
export interface Message {
  readonly [field: number]: string | number | boolean | Uint8Array | Message | undefined
}

/** What a message holds: numbers, and the bytes of all else. */
export type Fields = ReadonlyMap<number, number | Uint8Array>

const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

const varint = (value: number): Array<number> => {
  const bytes: Array<number> = []
  let left = value
  for (; left > 0x7f; left = Math.floor(left / 0x80)) bytes.push((left % 0x80) | 0x80)
  return [...bytes, left]
}

const bytesOf = (value: string | Uint8Array | Message): Uint8Array => {
  if (typeof value === "string") return Buffer.from(value)
  return value instanceof Uint8Array ? value : encode(value)
}

export const encode = (message: Message): Uint8Array => {
  const parts: Array<Uint8Array> = []
  for (const [key, value] of Object.entries(message)) {
    if (value === undefined || value === "" || value === 0 || value === false) continue
    const field = Number(key) * 8
    if (typeof value === "number" || typeof value === "boolean") {
      parts.push(Uint8Array.from([...varint(field + VARINT), ...varint(Number(value))]))
      continue
    }
    const bytes = bytesOf(value)
    parts.push(Uint8Array.from([...varint(field + BYTES), ...varint(bytes.length)]), bytes)
  }
  return Buffer.concat(parts)
}

/** Of a field that comes several times, the last. Numbers past 2^53 lose their low digits. */
export const decode = (bytes: Uint8Array): Fields => {
  const fields = new Map<number, number | Uint8Array>()
  let at = 0
  const number = () => {
    let value = 0
    for (let scale = 1; ; scale *= 0x80) {
      const byte = bytes[at++]
      if (byte === undefined) throw new RangeError("a message ends inside a field")
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
    }
  }
  while (at < bytes.length) {
    const key = number()
    const field = Math.floor(key / 8)
    const kind = key % 8
    if (kind === VARINT) {
      fields.set(field, number())
      continue
    }
    const length = kind === FIXED64 ? 8 : kind === FIXED32 ? 4 : kind === BYTES ? number() : Infinity
    if (at + length > bytes.length) throw new RangeError(`field ${field} is longer than its message`)
    fields.set(field, bytes.subarray(at, at + length))
    at += length
  }
  return fields
}

/** A number that is absent where it is zero. */
export const numberAt = (fields: Fields, field: number): number => {
  const value = fields.get(field)
  return typeof value === "number" ? value : 0
}

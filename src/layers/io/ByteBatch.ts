/** Bytes on their way to a file: a buffer that grows at its end. Whoever adds reserves first; nothing checks again. */

/** A batch, with the bytes up to `length` filled. */
export interface ByteBatch {
  bytes: Buffer
  length: number
}

const smallest = 8 * 1024

/** An empty batch. */
export const make = (): ByteBatch => ({ bytes: Buffer.allocUnsafeSlow(smallest), length: 0 })

/** Makes room for `size` more bytes. */
export const reserve = (batch: ByteBatch, size: number): void => {
  const needed = batch.length + size
  if (needed <= batch.bytes.length) return
  const grown = Buffer.allocUnsafeSlow(Math.max(needed, batch.bytes.length * 2))
  batch.bytes.copy(grown, 0, 0, batch.length)
  batch.bytes = grown
}

/** Adds ASCII text. */
export const addAscii = (batch: ByteBatch, text: string): void => {
  batch.length += batch.bytes.write(text, batch.length, "latin1")
}

/** Cuts blocks of a file into lines. A line longer than `most` cannot be a record: it is dropped, so that a damaged file does not fill the memory. */

export interface LineSplitter {
  /** The lines that end in this block, without their newlines. The block may be used again afterwards. */
  readonly add: (block: Buffer) => Array<string>
  /** What has not come to a newline, and is forgotten. */
  readonly rest: () => string
}

/** More than the longest record: 64 KiB of control characters, six bytes each. */
const most = 512 * 1024

export const make = (): LineSplitter => {
  let begun: Array<Buffer> = []
  let size = 0
  const take = (end: Buffer): string => {
    const line = size > most ? "" : begun.length === 0 ? end.toString() : Buffer.concat([...begun, end]).toString()
    begun = []
    size = 0
    return line
  }
  return {
    add: (block) => {
      const lines: Array<string> = []
      let from = 0
      for (let to = block.indexOf(10); to !== -1; to = block.indexOf(10, from)) {
        lines.push(take(block.subarray(from, to)))
        from = to + 1
      }
      size += block.length - from
      if (size > most) begun = []
      else if (from < block.length) begun.push(Buffer.from(block.subarray(from)))
      return lines
    },
    rest: () => take(Buffer.alloc(0))
  }
}

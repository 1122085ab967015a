/** Input in pieces that the daemon takes. */

/** The largest that `writeStdin` takes. */
const pieceBytes = 65_536

/** One after the other, none of them empty. */
export const pieces = function* (bytes: Uint8Array) {
  for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
}

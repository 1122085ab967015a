/** A test that does not run must not look like one that is not there. */

/** Tells what is left out, and why. */
export const leftOut = (what: string, reason: string): void =>
  void process.stderr.write(`left out: ${what}: ${reason}\n`)

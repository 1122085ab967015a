/** Chance out of a seed: the same seed, the same draws, on every machine. */
export interface Random {
  /** From 0 up to, but not, 1. */
  readonly next: () => number
  /** A whole number from `low` to `high`, both possible. */
  readonly int: (low: number, high: number) => number
  readonly chance: (probability: number) => boolean
  readonly pick: <A>(from: readonly [A, ...ReadonlyArray<A>]) => A
  /** One of the names, each as likely as its weight. */
  readonly weighted: <Name extends string>(weights: ReadonlyArray<readonly [Name, number]>) => Name
}

/** Numbers by mulberry32. */
export const make = (seed: number): Random => {
  let state = Math.imul(seed + 1, 0x9e3779b1) | 0
  const next = () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const int = (low: number, high: number) => low + Math.floor(next() * (high - low + 1))
  return {
    next,
    int,
    chance: (probability) => next() < probability,
    pick: (from) => from[int(0, from.length - 1)] ?? from[0],
    weighted: (weights) => {
      let left = next() * weights.reduce((sum, [, weight]) => sum + weight, 0)
      for (const [name, weight] of weights) {
        left -= weight
        if (left < 0) return name
      }
      throw new Error("nothing to draw from")
    }
  }
}

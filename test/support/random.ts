/** Whole numbers below a limit, small and seeded: a failing walk is repeated by its number. */
export const randomOf = (seed: number) => {
  let state = seed * 2654435761 + 1
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

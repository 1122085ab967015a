/** Numbers about numbers. */

export interface Summary {
  readonly n: number
  readonly p50: number
  readonly p95: number
  readonly mean: number
  readonly min: number
  readonly max: number
}

/** The smallest value that at least this share of all does not exceed. */
export const percentile = (sorted: ReadonlyArray<number>, share: number): number =>
  sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? NaN

/** Of at least one value. */
export const summary = (values: ReadonlyArray<number>): Summary => {
  const sorted = values.toSorted((a, b) => a - b)
  return {
    n: sorted.length,
    p50: percentile(sorted, 0.5),
    p95: percentile(sorted, 0.95),
    mean: sorted.reduce((sum, value) => sum + value, 0) / sorted.length,
    min: percentile(sorted, 0),
    max: percentile(sorted, 1)
  }
}

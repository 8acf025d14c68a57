/** The middle one; of an even number the upper of the two. */
export function median<T>(values: readonly T[], of: (value: T) => number): T {
  return values.toSorted((a, b) => of(a) - of(b))[Math.floor(values.length / 2)]!;
}

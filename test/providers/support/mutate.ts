/** Small repeatable chance: the same seed, the same numbers. */
export function chance(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

const oddValues: unknown[] = [
  null,
  undefined,
  true,
  0,
  -1,
  1e308,
  '',
  '\0',
  '\ud800',
  'x'.repeat(5_000),
  [],
  [[[]]],
  {},
  { toString: 'no function', __proto__: null },
  '<@UBOT> <!channel> &amp;',
];

/** A copy of a payload in which some values were dropped, replaced by odd ones, or moved. */
export function mutated(value: unknown, random: () => number): unknown {
  if (random() < 0.06) return oddValues[Math.floor(random() * oddValues.length)];
  if (Array.isArray(value)) return value.map((each) => mutated(each, random));
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value)
    .filter(() => random() > 0.03)
    .map(([name, field]): [string, unknown] => [name, mutated(field, random)]);
  return Object.fromEntries(entries);
}

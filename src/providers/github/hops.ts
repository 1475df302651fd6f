import { boundedHops } from '../guard-signals.ts';

/** How many agents' posts led to a text, hidden in it before the marker at its end. */
export const hopsMarker = (hops: number): string => `<!-- tagalong:hops=${hops} -->`;

/** What a text says of it; undefined when it says nothing. */
export function hopsIn(body: string | null | undefined): number | undefined {
  const found = /<!-- tagalong:hops=(\d{1,6}) -->/.exec(body ?? '')?.[1];
  return found === undefined ? undefined : boundedHops(Number(found));
}

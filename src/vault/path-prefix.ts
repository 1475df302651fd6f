/** What the gate in front of every request lets through as one segment of a path. */
const plainPath = /^(?:\/(?!\.{1,2}(?:[/;]|$))[A-Za-z0-9\-._~!$&'()*+,;=:@%]+)*\/?$/;

const segmentsOf = (path: string): string[] => path.replace(/\/$/, '').split('/').slice(1);

/** The segments of a prefix, none for `/`; undefined for what is no path that a request could have. */
export function parsePathPrefix(text: string): string[] | undefined {
  return plainPath.test(text) ? segmentsOf(text) : undefined;
}

/** A prefix as it is written. */
export function pathPrefixText(segments: readonly string[]): string {
  return `/${segments.join('/')}`;
}

/**
 * Whether a path, as sent and without its query, is a prefix or below it. Whole segments are compared as they are
 * written: what is escaped in another way is another path, and the gate has refused what leads up again.
 */
export function isAtOrBelow(prefix: readonly string[], path: string): boolean {
  if (prefix.length === 0) return true;
  const asked = segmentsOf(path);
  return prefix.every((segment, i) => asked[i] === segment);
}

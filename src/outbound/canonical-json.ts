import { createHash } from 'node:crypto';

/** JSON with sorted keys and no `undefined`: equal values make equal text, in whatever order they were built. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((item) => canonicalJson(item ?? null)).join(',')}]`;
  if (typeof value === 'object' && value !== null) {
    const entries = Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([key, item]) => `${JSON.stringify(key)}:${canonicalJson(item)}`);
    return `{${entries.join(',')}}`;
  }
  return JSON.stringify(value) ?? 'null';
}

/** Names one call: SHA-256 over the tool and its canonical arguments, hex. */
export function hashCall(tool: string, input: Readonly<Record<string, unknown>>): string {
  return createHash('sha256')
    .update(canonicalJson([tool, input]))
    .digest('hex');
}

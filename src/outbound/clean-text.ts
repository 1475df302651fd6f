/**
 * Text that Postgres and the providers can hold: NUL characters are dropped and halves of surrogate pairs become
 * U+FFFD (`jsonb` refuses both).
 */
export function cleanText(text: string): string {
  return text.replaceAll('\0', '').toWellFormed();
}

/** The same for every string and key in a JSON value. */
export function cleanValue(value: unknown): unknown {
  if (typeof value === 'string') return cleanText(value);
  if (Array.isArray(value)) return value.map(cleanValue);
  if (typeof value === 'object' && value !== null) return cleanRecord(value as Record<string, unknown>);
  return value;
}

/** `cleanValue` for an object. */
export function cleanRecord(record: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(record).map(([key, value]) => [cleanText(key), cleanValue(value)]),
  );
}

/** The first `maxChars` UTF-16 units of a text, whole characters only, with a note of how much was left out. */
export function boundText(text: string, maxChars: number): string {
  if (text.length <= maxChars) return text;
  return `${cleanText(text.slice(0, maxChars)).replace(/\uFFFD$/, '')}\n[… ${text.length - maxChars} more characters left out]`;
}

/** All strings of a JSON value, one per line: what a reader of it would see. */
export function textOf(value: unknown): string {
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return '';
  return Object.entries(value)
    .map(([key, item]) => (Array.isArray(value) ? textOf(item) : `${key}\n${textOf(item)}`))
    .join('\n');
}

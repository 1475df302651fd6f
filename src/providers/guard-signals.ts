import type { IgnoreReason, Signal } from './provider.ts';

/** Longer text is cut, with a note: no provider lets a person write more. */
const maxBodyCharacters = 200_000;
const maxTitleCharacters = 120;

/** Runs a reading of a delivery. What it throws becomes `malformed`; what it gives can be stored as it is. */
export function guardSignals(read: () => Signal[]): Signal[] {
  try {
    return read().map((signal) => storable(signal));
  } catch (error) {
    return [malformed(error instanceof Error ? error.message : 'unreadable')];
  }
}

/** The signal for a body that is not what the provider documents. */
export function malformed(detail: string): Signal {
  return { kind: 'ignored', reason: 'malformed', detail: clean(detail).slice(0, 300) };
}

/** The signal for what starts nothing, with the reason that admins are shown. */
export function ignored(reason: IgnoreReason, detail?: string): Signal {
  return detail ? { kind: 'ignored', reason, detail } : { kind: 'ignored', reason };
}

/** A first line of a text, short enough for a title; undefined when there is none. */
export function titleOf(text: string): string | undefined {
  const line = text.trim().split('\n', 1)[0]?.trim() ?? '';
  if (line === '') return undefined;
  return line.length <= maxTitleCharacters ? line : `${line.slice(0, maxTitleCharacters - 1)}…`;
}

function storable(signal: Signal): Signal {
  const cleaned = cleanDeep(signal) as Signal;
  if ('body' in cleaned && cleaned.body.length > maxBodyCharacters) {
    const whole = cleaned.body.length;
    cleaned.body = `${cleaned.body.slice(0, maxBodyCharacters)}\n\n(cut: the whole text has ${whole} characters)`;
  }
  return cleaned;
}

/** Postgres stores neither NUL nor half a surrogate pair. */
function clean(text: string): string {
  return text.toWellFormed().replaceAll('\0', '');
}

function cleanDeep(value: unknown): unknown {
  if (typeof value === 'string') return clean(value);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, field]) => field !== undefined)
      .map(([name, field]) => [name, cleanDeep(field)]),
  );
}

/** Later times have years of more than four digits, which Postgres reads differently. */
const lastMs = Date.UTC(9999, 11, 31);

/** When something happened, as a field of a signal; nothing where the provider's time is none. */
export function happenedAt(time: string | number | null | undefined): { at?: string } {
  const ms = new Date(time ?? Number.NaN).getTime();
  return ms > 0 && ms < lastMs ? { at: new Date(ms).toISOString() } : {};
}

/** A hop count that somebody else wrote: a whole number that nothing overflows from. */
export function boundedHops(hops: number): number {
  return Number.isFinite(hops) ? Math.min(Math.max(Math.trunc(hops), 0), 1_000) : 0;
}

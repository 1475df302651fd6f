export type Fields = Record<string, unknown>;

const maxNameChars = 200;

/** An object, or undefined: what comes from a program can be anything. */
export const fields = (value: unknown): Fields | undefined =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;

/** A short text; empty when it is none. */
export const name = (value: unknown): string =>
  typeof value === 'string' ? value.slice(0, maxNameChars) : '';

/** A whole number from 0 up. */
export const count = (value: unknown): number =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? Math.floor(value) : 0;

export const clip = (text: string, maxChars: number): string =>
  text.length > maxChars ? `${text.slice(0, maxChars)}…` : text;

/** The text of a content block. */
export function textOf(content: unknown): string {
  const block = fields(content);
  return block?.type === 'text' && typeof block.text === 'string' ? block.text : '';
}

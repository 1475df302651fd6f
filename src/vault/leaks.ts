import { minSecretChars } from './secret-forms.ts';

/** How a secret was written where it was found. */
export type LeakForm = 'plain' | 'base64' | 'hex' | 'percent';

export interface Leak {
  /** Index in the list of secrets. The value itself is never repeated. */
  secret: number;
  form: LeakForm;
}

/**
 * The first of the secrets that a text holds in plain, base64 or base64url (at any of the three alignments, also inside
 * a longer encoded text), hex, or percent-encoded form. White space inside base64 and hex does not hide it. Pure.
 */
export function findLeak(text: string, secrets: readonly string[]): Leak | undefined {
  const compact = text.replace(/\s+/g, '');
  const base64 = compact.replaceAll('-', '+').replaceAll('_', '/');
  const hex = compact.replace(/[:,]|\\x|0x/gi, '').toLowerCase();
  const percent = percentDecoded(text);
  for (const [index, secret] of secrets.entries()) {
    if (secret.length < minSecretChars) continue;
    const bytes = Buffer.from(secret, 'utf8');
    const found = (form: LeakForm): Leak => ({ secret: index, form });
    if (text.includes(secret)) return found('plain');
    if (alignments(bytes).some((form) => base64.includes(form))) return found('base64');
    if (hex.includes(bytes.toString('hex'))) return found('hex');
    if (percent?.includes(bytes.toString('latin1'))) return found('percent');
  }
  return undefined;
}

/**
 * Base64 of the bytes when 0, 1 or 2 unknown bytes stand before them in the same encoded text: without the characters
 * that also hold bits of a neighbour.
 */
function alignments(bytes: Buffer): string[] {
  return [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    const wholeBits = (before + bytes.length) * 8;
    return encoded.slice(Math.ceil((before * 8) / 6), Math.floor(wholeBits / 6));
  });
}

/** Percent escapes resolved to bytes, as latin1; what is no valid escape stays. Undefined when there is none. */
function percentDecoded(text: string): string | undefined {
  if (!/%[0-9a-f]{2}/i.test(text)) return undefined;
  return Buffer.from(text, 'utf8')
    .toString('latin1')
    .replace(/%([0-9a-f]{2})/gi, (_, code: string) => String.fromCharCode(Number.parseInt(code, 16)));
}

/** Shorter values are not looked for: they are found in innocent text. */
export const minSecretChars = 8;

/**
 * The forms in which a secret may come back: plain, base64 and base64url at each of three alignments, percent-encoded,
 * hex, and as JSON writes it. In latin1, one character for each byte.
 */
export function secretForms(secret: string): string[] {
  if (secret.length < minSecretChars) return [];
  const bytes = Buffer.from(secret, 'utf8');
  const hex = bytes.toString('hex');
  const aligned = [0, 1, 2].map((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes])
      .toString('base64')
      .replace(/=+$/, '');
    // Without the characters that also hold bits of a neighbour.
    return encoded.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
  });
  const percent = encodeURIComponent(secret);
  const forms = [
    bytes.toString('latin1'),
    ...aligned,
    ...aligned.map((form) => form.replaceAll('+', '-').replaceAll('/', '_')),
    hex,
    hex.toUpperCase(),
    percent,
    percent.replace(/%[0-9A-F]{2}/g, (byte) => byte.toLowerCase()),
    Buffer.from(JSON.stringify(secret).slice(1, -1), 'utf8').toString('latin1'),
  ];
  return [...new Set(forms)];
}

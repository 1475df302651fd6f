import { createHash } from 'node:crypto';

/**
 * Linear keeps neither metadata nor comments in what is written, but takes ids from us. So the id tells how many agents'
 * posts led to it: of its last 12 digits 8 say that the id is one of ours, and 2 are the number. It stays a UUID that
 * looks like version 4, and the same for the same mark and number.
 */
export function withHops(mark: string, hops: number | undefined): string {
  if (hops === undefined || !/^[0-9a-f-]{36}$/.test(mark)) return mark;
  const number = Math.min(hops, 255).toString(16).padStart(2, '0');
  const head = mark.slice(0, 24);
  return `${head}${sealOf(head, number)}${number}${mark.slice(34)}`;
}

/** The number in an id of ours; undefined for any other. */
export function hopsInId(id: string | null | undefined): number | undefined {
  if (!id || !/^[0-9a-f-]{36}$/i.test(id)) return undefined;
  const plain = id.toLowerCase();
  const head = plain.slice(0, 24);
  const number = plain.slice(32, 34);
  return plain.slice(24, 32) === sealOf(head, number) ? Number.parseInt(number, 16) : undefined;
}

/** Tells our ids from others; it keeps no secret, since a bot that lies about hops is held by the other limits. */
function sealOf(head: string, number: string): string {
  return createHash('sha256').update(`tagalong ${head}${number}`).digest('hex').slice(0, 8);
}

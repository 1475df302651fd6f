import { gunzipSync } from 'node:zlib';

/** What a fetch asks for: the names there are, or objects by number. */
export type GitWants = { kind: 'names' } | { kind: 'objects'; wants: readonly string[] };

/** Of what a client sends before anything comes back; some ten thousand wants fit. */
export const maxFetchBytes = 4 * 1024 * 1024;
const maxUnpackedBytes = 8 * 1024 * 1024;
const want = /^want ([0-9a-f]{40}|[0-9a-f]{64})(?: |$)/;

/**
 * Reads the body of a fetch (gitprotocol-pack, gitprotocol-v2), gzipped or plain. Undefined where it is not understood,
 * also where it wants names, of which it is not known here what they point to. Pure.
 */
export function readGitWants(body: Buffer, encoding: string | undefined): GitWants | undefined {
  const plain = unpacked(body, encoding);
  const lines = plain && pktLines(plain);
  if (!lines) return undefined;
  if (lines[0] === 'command=ls-refs') return { kind: 'names' };
  const wants: string[] = [];
  for (const line of lines) {
    if (!line.startsWith('want')) continue;
    const oid = want.exec(line)?.[1];
    if (oid === undefined) return undefined;
    wants.push(oid);
  }
  return { kind: 'objects', wants };
}

function unpacked(body: Buffer, encoding: string | undefined): Buffer | undefined {
  if (encoding === undefined || encoding === 'identity') return body;
  if (encoding !== 'gzip' && encoding !== 'x-gzip') return undefined;
  try {
    return gunzipSync(body, { maxOutputLength: maxUnpackedBytes });
  } catch {
    return undefined;
  }
}

function pktLines(bytes: Buffer): string[] | undefined {
  const lines: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = lengthAt(bytes, at);
    if (length === undefined || at + length > bytes.length) return undefined;
    if (length >= 4) lines.push(bytes.toString('latin1', at + 4, at + length).replace(/\n$/, ''));
    at += Math.max(length, 4);
  }
  return lines;
}

/** 0 to 2 are marks without content; 3 means nothing. */
function lengthAt(bytes: Buffer, at: number): number | undefined {
  const digits = bytes.toString('latin1', at, at + 4);
  if (!/^[0-9a-f]{4}$/i.test(digits)) return undefined;
  const length = Number.parseInt(digits, 16);
  return length === 3 ? undefined : length;
}

const maxTips = 50_000;
const tip = /^([0-9a-f]{40}|[0-9a-f]{64}) (HEAD|refs\/(?:heads|tags)\/[^\0 ]+)/;

/** Reads along what names there are, and keeps what the repository's own branches and tags point to. */
export class TipsReader {
  readonly #tips: Set<string>;
  #left = Buffer.alloc(0);
  #done = false;

  constructor(tips: Set<string>) {
    this.#tips = tips;
  }

  push(chunk: Buffer): void {
    if (this.#done) return;
    let bytes = Buffer.concat([this.#left, chunk]);
    while (bytes.length >= 4) {
      const length = lengthAt(bytes, 0);
      if (length === undefined || this.#tips.size > maxTips) {
        this.end();
        return;
      }
      if (length > bytes.length) break;
      if (length > 4) this.#read(bytes.toString('latin1', 4, length).replace(/\n$/, ''));
      bytes = bytes.subarray(Math.max(length, 4));
    }
    this.#left = bytes;
  }

  end(): void {
    this.#done = true;
    this.#left = Buffer.alloc(0);
  }

  #read(line: string): void {
    const oid = tip.exec(line)?.[1];
    if (oid === undefined) return;
    this.#tips.add(oid);
    // What a tag stands for.
    const peeled = / peeled:([0-9a-f]{40}|[0-9a-f]{64})(?: |$)/.exec(line)?.[1];
    if (peeled !== undefined) this.#tips.add(peeled);
  }
}

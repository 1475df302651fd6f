import type { Framing } from './http1-head.ts';
import { readFields } from './http1-head.ts';

/** What a body says is not proper HTTP. */
export class BodyError extends Error {
  override name = 'BodyError';
}

/** Of one line that announces a chunk, with what is said of it beside its size. */
const maxChunkLine = 4 * 1024;
/** Of all that is said of chunks beside their sizes: nobody reads it. */
const maxExtensionBytes = 16 * 1024;
const maxTrailerBytes = 16 * 1024;
const smallBytes = 1_024;
const chunkLine = /^([0-9a-fA-F]{1,13})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?$/;

/** Takes one body out of the bytes of a connection, without what frames it. */
export class BodyReader {
  readonly #kind: Framing['kind'];
  #left = 0;
  #part: 'size' | 'data' | 'end' | 'trailers' | 'done';
  /** The beginning of a line whose end has not come yet. */
  #line = '';
  #extensionBytes = 0;
  /** The fields after a body in chunks: names and values in turn. */
  trailers: string[] = [];

  constructor(framing: Framing) {
    this.#kind = framing.kind;
    if (framing.kind === 'length') this.#left = framing.bytes;
    const isEmpty = framing.kind === 'none' || (framing.kind === 'length' && framing.bytes === 0);
    this.#part = isEmpty ? 'done' : framing.kind === 'chunked' ? 'size' : 'data';
  }

  get done(): boolean {
    return this.#part === 'done';
  }

  /** Whether the body lasts as long as the connection. */
  get lasts(): boolean {
    return this.#kind === 'rest';
  }

  /**
   * Reads from `from` and gives the next piece of the body, none where only framing came, and where to go on: nothing
   * is left of `bytes` at its end, or the body is done. Small pieces that came together are given as one: each costs
   * far more memory than its bytes. Throws a BodyError.
   */
  next(bytes: Buffer, from: number): { piece: Buffer | undefined; at: number } {
    const first = this.#next(bytes, from);
    if (this.#kind !== 'chunked' || !first.piece || first.piece.byteLength >= smallBytes) return first;
    const pieces = [first.piece];
    let { at } = first;
    while (at < bytes.byteLength && !this.done) {
      const more = this.#next(bytes, at);
      at = more.at;
      if (more.piece) pieces.push(more.piece);
    }
    return { piece: Buffer.concat(pieces), at };
  }

  #next(bytes: Buffer, from: number): { piece: Buffer | undefined; at: number } {
    if (this.#kind !== 'chunked') return this.#data(bytes, from);
    let at = from;
    while (at < bytes.byteLength && this.#part !== 'done') {
      if (this.#part === 'data') return this.#data(bytes, at);
      const end = bytes.indexOf(10, at);
      const to = end < 0 ? bytes.byteLength : end + 1;
      this.#line += bytes.toString('latin1', at, to);
      at = to;
      if (this.#line.length > (this.#part === 'trailers' ? maxTrailerBytes : maxChunkLine)) {
        throw new BodyError('a line of a chunk is too long');
      }
      if (end >= 0) this.#readLine();
    }
    return { piece: undefined, at };
  }

  #data(bytes: Buffer, from: number): { piece: Buffer | undefined; at: number } {
    if (this.#part === 'done' || from >= bytes.byteLength) return { piece: undefined, at: from };
    if (this.#kind === 'rest') return { piece: bytes.subarray(from), at: bytes.byteLength };
    const at = Math.min(bytes.byteLength, from + this.#left);
    this.#left -= at - from;
    if (this.#left === 0) this.#part = this.#kind === 'length' ? 'done' : 'end';
    return { piece: bytes.subarray(from, at), at };
  }

  #readLine(): void {
    const line = this.#line;
    if (!line.endsWith('\r\n')) throw new BodyError('a line of a chunk does not end properly');
    if (this.#part === 'trailers') return void this.#readTrailer();
    this.#line = '';
    if (this.#part === 'end') {
      if (line.length !== 2) throw new BodyError('a chunk is longer than announced');
      this.#part = 'size';
      return;
    }
    const [, size = ''] = chunkLine.exec(line.slice(0, -2)) ?? [];
    if (size === '') throw new BodyError('the size of a chunk is no number');
    this.#extensionBytes += line.length - 2 - size.length;
    if (this.#extensionBytes > maxExtensionBytes) throw new BodyError('too much is said of the chunks');
    this.#left = Number.parseInt(size, 16);
    this.#part = this.#left > 0 ? 'data' : 'trailers';
  }

  /** Lines of trailers are kept until the empty one. */
  #readTrailer(): void {
    if (this.#line !== '\r\n' && !this.#line.endsWith('\r\n\r\n')) return;
    const trailers = readFields(this.#line.slice(0, this.#line === '\r\n' ? 0 : -4));
    if (!trailers) throw new BodyError('what follows the chunks are no headers');
    this.trailers = trailers;
    this.#part = 'done';
  }
}

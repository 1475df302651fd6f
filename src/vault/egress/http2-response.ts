import { constants, type ServerHttp2Stream } from 'node:http2';
import type { ClientResponse } from './client-messages.ts';

/** A client that takes nothing of what it asked for, for this long, gets no more of it. */
const stallTimeoutMs = 60_000;
/** How long a client may go on sending a body that was answered. */
const lingerMs = 2_000;
/** What our own answers say for HTTP/1.1 only. */
const connectionNames = new Set(['connection', 'keep-alive', 'transfer-encoding']);

/** The answer on one stream of HTTP/2, in the form in which the request path answers over HTTP/1.1. */
export class Http2Response implements ClientResponse {
  readonly #stream: ServerHttp2Stream;
  readonly #trailers: Record<string, string | string[]> = {};
  #stall: NodeJS.Timeout | undefined;

  constructor(stream: ServerHttp2Stream) {
    this.#stream = stream;
    stream.on('error', () => {});
    stream.once('wantTrailers', () => this.#sendTrailers());
    stream.once('finish', () => this.#letGo());
    stream.on('drain', () => clearTimeout(this.#stall));
    stream.once('close', () => clearTimeout(this.#stall));
  }

  get headersSent(): boolean {
    return this.#stream.headersSent;
  }

  get destroyed(): boolean {
    return this.#stream.destroyed || this.#stream.closed;
  }

  get writableFinished(): boolean {
    // A stream that the client takes back ends by itself.
    return this.#stream.writableFinished && !this.#stream.aborted;
  }

  get writableLength(): number {
    return this.#stream.writableLength;
  }

  writeContinue(): void {
    if (!this.destroyed && !this.headersSent) this.#stream.additionalHeaders({ ':status': 100 });
  }

  writeHead(status: number, headers: string[] | Record<string, string | number>): void {
    if (this.destroyed) return;
    const pairs = Array.isArray(headers)
      ? headers
      : Object.entries(headers).flatMap(([name, value]) => [name, String(value)]);
    const fields = [':status', String(status)];
    for (let i = 0; i + 1 < pairs.length; i += 2) {
      const name = pairs[i]?.toLowerCase() ?? '';
      if (!connectionNames.has(name)) fields.push(name, pairs[i + 1] ?? '');
    }
    this.#stream.respond(fields, { waitForTrailers: true });
  }

  /** The headers of a stream are on their way as soon as they are written. */
  flushHeaders(): void {}

  write(chunk: Buffer): boolean {
    // To a HEAD, or with a status that has no body, the stream has ended with its headers.
    if (this.destroyed || this.#stream.writableEnded) return true;
    if (this.#stream.write(chunk)) return true;
    clearTimeout(this.#stall);
    this.#stall = setTimeout(() => this.#stream.close(constants.NGHTTP2_CANCEL), stallTimeoutMs);
    this.#stall.unref();
    return false;
  }

  addTrailers(trailers: [string, string][]): void {
    for (const [name, value] of trailers) {
      const known = this.#trailers[name.toLowerCase()];
      this.#trailers[name.toLowerCase()] = known === undefined ? value : [known, value].flat();
    }
  }

  end(chunk?: Buffer | string, encoding: BufferEncoding = 'utf8'): void {
    if (this.destroyed || this.#stream.writableEnded) return;
    if (chunk) this.#stream.end(chunk, encoding);
    else this.#stream.end();
  }

  destroy(): void {
    clearTimeout(this.#stall);
    if (!this.#stream.destroyed) this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  once(event: 'drain' | 'close', listener: () => void): void {
    this.#stream.once(event, listener);
  }

  off(event: 'drain' | 'close', listener: () => void): void {
    this.#stream.off(event, listener);
  }

  /** What the client still sends after its answer is thrown away, and not for long (RFC 9113, section 8.1). */
  #letGo(): void {
    const stream = this.#stream;
    if (stream.endAfterHeaders || stream.readableEnded || stream.destroyed) return;
    stream.resume();
    this.#stall = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), lingerMs);
    this.#stall.unref();
  }

  #sendTrailers(): void {
    try {
      this.#stream.sendTrailers(this.#trailers);
    } catch {
      this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    }
  }
}

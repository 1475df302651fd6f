import type { IncomingMessage } from 'node:http';
import type { Readable } from 'node:stream';

/** What a request's way out uses of a client's request: node:http's own, or a stream of HTTP/2 in the same form. */
export type ClientRequest = Readable & Pick<IncomingMessage, 'method' | 'httpVersion' | 'rawHeaders'>;

/** What it uses of the answer: node:http's `ServerResponse`, or an `Http2Response`. */
export interface ClientResponse {
  readonly headersSent: boolean;
  readonly destroyed: boolean;
  readonly writableFinished: boolean;
  writeContinue(): void;
  /** Names and values in turn, or by name. */
  writeHead(status: number, headers: string[] | Record<string, string | number>): unknown;
  flushHeaders(): void;
  /** False when the client is to be waited for, until `drain`. */
  write(chunk: Buffer): boolean;
  /** Sent after the body, where the client's protocol has a place for them. */
  addTrailers(trailers: [string, string][]): void;
  end(chunk?: Buffer): unknown;
  end(text: string, encoding: 'latin1'): unknown;
  /** Breaks it off, so that it looks broken off. */
  destroy(): unknown;
  once(event: 'drain' | 'close', listener: () => void): unknown;
  off(event: 'drain' | 'close', listener: () => void): unknown;
}

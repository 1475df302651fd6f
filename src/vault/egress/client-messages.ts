import type { IncomingBody } from './bodies.ts';

/** A client's request, over whichever protocol it came, in the form of HTTP/1.1. */
export interface ClientRequest {
  readonly method: string;
  /** As it stands in the request's first line. */
  readonly url: string;
  readonly httpVersion: string;
  /** Names and values in turn, as sent, in latin1. */
  readonly rawHeaders: readonly string[];
  readonly body: IncomingBody;
}

/** What the way out uses of the answer: an `Http1Response`, an `Http2Response`, or node:http's `ServerResponse`. */
export interface ClientResponse {
  readonly headersSent: boolean;
  readonly destroyed: boolean;
  readonly writableFinished: boolean;
  /** Bytes that were written and that the client, or what is on the way to it, has no room for yet. */
  readonly writableLength: number;
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

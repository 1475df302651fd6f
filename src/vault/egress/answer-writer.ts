import type { IncomingHttpHeaders } from 'node:http';
import type { ClientResponse } from './client-messages.ts';
import { forwardedTrailers } from './header-rules.ts';
import type { Redaction } from './redaction.ts';

/** An event of a stream is not held back for longer, whatever it ends with. */
const holdMs = 50;
/** A first piece up to this size goes out as one with its head. */
const maxFirstBytes = 16 * 1024;

/**
 * Writes one answer to the client, cleaned of what was put on. What comes at once goes out at once: a head and a small
 * body that came together leave in one piece, and neither waits for longer than that.
 */
export class AnswerWriter {
  readonly #response: ClientResponse;
  readonly #redaction: Redaction | undefined;
  readonly #search: ReturnType<Redaction['stream']> | undefined;
  #idle: NodeJS.Timeout | undefined;
  /** Something was written after the head. */
  #begun = false;
  /** The beginning of the body, until it is known whether it is the end as well. */
  #first: Buffer | undefined;

  constructor(response: ClientResponse, redaction: Redaction | undefined) {
    this.#response = response;
    this.#redaction = redaction;
    this.#search = redaction?.stream();
  }

  /** Names and values in turn. */
  head(status: number, headers: string[]): void {
    const redaction = this.#redaction;
    const found = redaction?.found(headers.join('\n'));
    this.#response.writeHead(
      status,
      redaction && found ? headers.map((part) => redaction.text(part)) : headers,
    );
    process.nextTick(() => this.#begin());
  }

  /** Passes on what is clean; a possible beginning of a secret waits for what follows, but not for long. */
  write(chunk: Buffer): boolean {
    if (!this.#search) return this.#send(chunk);
    clearTimeout(this.#idle);
    const clean = this.#search.push(chunk);
    if (this.#search.holds()) this.#idle = setTimeout(() => this.#flush(), holdMs);
    return clean.byteLength === 0 || this.#send(clean);
  }

  end(trailers: IncomingHttpHeaders): void {
    this.#flush();
    const kept = forwardedTrailers(trailers, (value) => this.#redaction?.text(value) ?? value);
    if (kept.length > 0) this.#response.addTrailers(kept);
    const first = this.#first;
    this.#first = undefined;
    this.#begun = true;
    // node:http joins a text with the head, where a buffer would be a write of its own.
    if (first) this.#response.end(first.toString('latin1'), 'latin1');
    else this.#response.end();
  }

  /** Nothing more is written. */
  drop(): void {
    clearTimeout(this.#idle);
    this.#begun = true;
    this.#first = undefined;
  }

  #send(chunk: Buffer): boolean {
    if (!this.#begun && !this.#first && chunk.byteLength <= maxFirstBytes) {
      this.#first = chunk;
      return true;
    }
    const first = this.#first;
    this.#first = undefined;
    this.#begun = true;
    if (first) this.#response.write(first);
    return this.#response.write(chunk);
  }

  #begin(): void {
    if (this.#begun || this.#response.destroyed) return;
    this.#begun = true;
    const first = this.#first;
    this.#first = undefined;
    if (first) this.#response.write(first);
    else this.#response.flushHeaders();
  }

  #flush(): void {
    clearTimeout(this.#idle);
    const left = this.#search?.rest();
    if (left && left.byteLength > 0 && !this.#response.destroyed) this.#send(left);
  }
}

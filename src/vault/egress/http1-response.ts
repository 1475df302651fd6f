import { STATUS_CODES } from 'node:http';
import type { Socket } from 'node:net';
import type { ClientResponse } from './client-messages.ts';
import { forbidden, token } from './http1-head.ts';
import { release, writeJoined } from './joined-writes.ts';

/** A first piece up to this size goes out as one with its head. */
const maxJoinedBytes = 16 * 1024;

/** The answer to one request on a client's connection of HTTP/1.1 (RFC 9112, sections 4 to 7). */
export class Http1Response implements ClientResponse {
  readonly #socket: Socket;
  readonly #isHead: boolean;
  /** Called when it is written whole, with whether the connection goes on. */
  readonly #finished: (keeps: boolean) => void;
  #keeps: boolean;
  /** Written and not sent yet. */
  #head = '';
  #body: 'none' | 'length' | 'chunked' = 'none';
  #leftBytes = 0;
  #trailers = '';
  #onGone: (() => void)[] | undefined;
  #isGone = false;
  headersSent = false;
  writableFinished = false;

  constructor(socket: Socket, isHead: boolean, keeps: boolean, finished: (keeps: boolean) => void) {
    this.#socket = socket;
    this.#isHead = isHead;
    this.#keeps = keeps;
    this.#finished = finished;
  }

  get destroyed(): boolean {
    return this.#isGone || this.#socket.destroyed;
  }

  get writableLength(): number {
    return this.#socket.writableLength;
  }

  writeContinue(): void {
    if (!this.headersSent && !this.destroyed) this.#socket.write('HTTP/1.1 100 Continue\r\n\r\n', 'latin1');
  }

  writeHead(status: number, headers: string[] | Record<string, string | number>): void {
    if (this.headersSent || this.destroyed) return;
    this.headersSent = true;
    const pairs = Array.isArray(headers)
      ? headers
      : Object.entries(headers).flatMap(([name, value]) => [name, String(value)]);
    let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Answer'}\r\n`;
    let hasDate = false;
    let saysClose = false;
    let length: string | undefined;
    for (let i = 0; i + 1 < pairs.length; i += 2) {
      const name = pairs[i] ?? '';
      const value = pairs[i + 1] ?? '';
      if (!token.test(name) || forbidden.test(value)) continue;
      if (name.length === 4) hasDate ||= name.toLowerCase() === 'date';
      else if (name.length === 14 && name.toLowerCase() === 'content-length') {
        if (status === 204) continue;
        length = value;
      } else if (name.length === 10 && name.toLowerCase() === 'connection') saysClose = true;
      head += `${name}: ${value}\r\n`;
    }
    // Who passes an answer on says when it came (RFC 9110, section 6.6.1).
    if (!hasDate) head += `date: ${dateNow()}\r\n`;
    if (saysClose) this.#keeps = false;
    else if (!this.#keeps) head += 'connection: close\r\n';
    if (!this.#isHead && status !== 204 && status !== 304) {
      this.#body = length === undefined ? 'chunked' : 'length';
      this.#leftBytes = Number(length ?? 0);
      if (length === undefined) head += 'transfer-encoding: chunked\r\n';
    }
    this.#head = `${head}\r\n`;
  }

  flushHeaders(): void {
    if (this.#head !== '' && !this.destroyed) this.#send('');
  }

  write(chunk: Buffer): boolean {
    if (this.destroyed || this.writableFinished || this.#body === 'none' || chunk.byteLength === 0)
      return true;
    if (!this.#count(chunk.byteLength)) return true;
    if (this.#head === '' && this.#body === 'length') return writeJoined(this.#socket, chunk);
    const [before, after] =
      this.#body === 'chunked' ? [`${chunk.byteLength.toString(16)}\r\n`, '\r\n'] : ['', ''];
    if (chunk.byteLength <= maxJoinedBytes) return this.#send(`${before}${chunk.toString('latin1')}${after}`);
    const socket = this.#socket;
    socket.cork();
    if (this.#head !== '' || before !== '') this.#send(before);
    let isFree = socket.write(chunk);
    if (after !== '') isFree = socket.write(after, 'latin1');
    socket.uncork();
    return isFree;
  }

  addTrailers(trailers: [string, string][]): void {
    for (const [name, value] of trailers) {
      if (token.test(name) && !forbidden.test(value)) this.#trailers += `${name}: ${value}\r\n`;
    }
  }

  end(chunk?: Buffer | string, _encoding?: 'latin1'): void {
    if (this.writableFinished || this.destroyed) return;
    const text = typeof chunk === 'string' ? chunk : (chunk?.toString('latin1') ?? '');
    let last = '';
    if (this.#body !== 'none' && text !== '') {
      if (!this.#count(text.length)) return;
      last = this.#body === 'chunked' ? `${text.length.toString(16)}\r\n${text}\r\n` : text;
    }
    // Shorter than announced: it must look broken off.
    if (this.#body === 'length' && this.#leftBytes > 0) return void this.destroy();
    if (this.#body === 'chunked') last += `0\r\n${this.#trailers}\r\n`;
    if (last !== '' || this.#head !== '') this.#send(last);
    this.writableFinished = true;
    this.#finished(this.#keeps);
  }

  destroy(): void {
    // What came of an answer that breaks off is the client's: it may go on from there.
    release(this.#socket);
    this.#socket.destroy();
  }

  once(event: 'drain' | 'close', listener: () => void): void {
    if (event === 'drain') this.#socket.once('drain', listener);
    else if (this.#onGone) this.#onGone.push(listener);
    else this.#onGone = [listener];
  }

  off(event: 'drain' | 'close', listener: () => void): void {
    if (event === 'drain') this.#socket.off('drain', listener);
    else this.#onGone = this.#onGone?.filter((each) => each !== listener);
  }

  /** The client is not there any more. */
  gone(): void {
    if (this.#isGone) return;
    this.#isGone = true;
    for (const listener of this.#onGone ?? []) listener();
  }

  /** False, and broken off, when more comes than was announced. */
  #count(bytes: number): boolean {
    if (this.#body !== 'length') return true;
    this.#leftBytes -= bytes;
    if (this.#leftBytes >= 0) return true;
    this.destroy();
    return false;
  }

  #send(text: string): boolean {
    const head = this.#head;
    this.#head = '';
    return this.#socket.write(head + text, 'latin1');
  }
}

let dateText = '';
let dateAt = 0;

function dateNow(): string {
  const second = Math.floor(Date.now() / 1000);
  if (second !== dateAt) {
    dateAt = second;
    dateText = new Date(second * 1000).toUTCString();
  }
  return dateText;
}

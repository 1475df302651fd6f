import type { Socket } from 'node:net';
import type { ClientRequest, ClientResponse } from './client-messages.ts';
import { Deadline } from './deadline.ts';
import {
  endOfHead,
  hasConnectionOption,
  headerValues,
  maxFirstLineBytes,
  mayBeRequest,
  type RequestStart,
  readRequestStart,
  requestFraming,
} from './http1-head.ts';
import { Http1Body, noBody } from './http1-incoming.ts';
import { Http1Response } from './http1-response.ts';
import { Unsent } from './reader-watch.ts';
import { malformed, type Refusal, RefusedError, rawRefusal } from './refusal.ts';
import { patientMs } from './upstream-failure.ts';

export interface Http1Handlers {
  /** One request; the next on the connection is served after its answer. */
  request(request: ClientRequest, response: ClientResponse): unknown;
  /** From here on the connection is the handler's, with what came after the request; paused. */
  connect(request: ClientRequest, socket: Socket, head: Buffer): unknown;
  /** The same for a request for another protocol; such are served as any other when left out. */
  upgrade?(request: ClientRequest, socket: Socket, head: Buffer): unknown;
  /** What comes is no request. The connection ends, after this answer where it is owed one. */
  unreadable(refusal: Refusal): { answers: boolean };
  /** How long a client may take nothing of what it is sent. */
  idleMs: number;
}

const maxHeadBytes = 16 * 1024;
/** Of what comes before it is its turn. */
const maxAheadBytes = 64 * 1024;
const maxUnsentBytes = 256 * 1024;
const headTimeoutMs = 15_000;
const idleTimeoutMs = 75_000;
/** How long a client may go on sending after it was told that the connection ends. */
const lingerMs = 2_000;
const lineEnd = 13;
const notProper = 'This is not a proper HTTP/1.1 request.';

/** Speaks HTTP/1.1 as the server on a client's connection, one request after the other. */
export function serveHttp1(socket: Socket, on: Http1Handlers): void {
  new ClientConnection(socket, on).start();
}

class ClientConnection {
  readonly #socket: Socket;
  readonly #on: Http1Handlers;
  readonly #deadline = new Deadline(() => this.#late());
  /** What came and was not read yet. */
  #left: Buffer | undefined;
  #body: Http1Body | undefined;
  #response: Http1Response | undefined;
  #isReading = false;
  #isIdle = false;
  #headBegun = false;
  /** Nothing more is read as a request. */
  #isOver = false;
  /** It is somebody else's connection now. */
  #isGiven = false;
  readonly #unsent = new Unsent();

  constructor(socket: Socket, on: Http1Handlers) {
    this.#socket = socket;
    this.#on = on;
  }

  start(): void {
    this.#deadline.set(headTimeoutMs);
    this.#socket.on('data', this.#onData);
    this.#socket.on('end', this.#onEnd);
    this.#socket.on('close', this.#onClose);
    this.#socket.on('drain', this.#onDrain);
    this.#socket.resume();
  }

  readonly #onData = (chunk: Buffer): void => {
    if (this.#isOver) return;
    const bytes = this.#left ? Buffer.concat([this.#left, chunk]) : chunk;
    this.#left = undefined;
    this.#read(bytes);
  };

  /** Half-open, as all sockets of an HTTP server are: a client that ends its side has left. */
  readonly #onEnd = (): void => {
    if (this.#response || this.#body) this.#socket.destroy();
    else this.#socket.end();
  };

  readonly #onClose = (): void => {
    this.#isOver = true;
    this.#deadline.stop();
    this.#body?.destroy(new Error('the body was cut off'));
    this.#response?.gone();
  };

  readonly #onDrain = (): void => {
    this.#unsent.forget();
    if (!this.#response && !this.#body) this.#goOn();
  };

  #read(bytes: Buffer): void {
    this.#isReading = true;
    let at = 0;
    while (at < bytes.byteLength && !this.#isOver) {
      const from = at;
      if (this.#body) at = this.#readBody(this.#body, bytes, at);
      else if (this.#response || this.#socket.writableLength > maxUnsentBytes) break;
      else at = this.#readHead(bytes, at);
      if (at === from) break;
    }
    this.#isReading = false;
    if (at < bytes.byteLength && !this.#isOver) this.#keep(at > 0 ? bytes.subarray(at) : bytes);
  }

  #keep(bytes: Buffer): void {
    this.#left = bytes;
    if (bytes.byteLength > maxAheadBytes) this.#socket.pause();
  }

  /** After an answer: with what came meanwhile. */
  #goOn(): void {
    const left = this.#left;
    this.#left = undefined;
    if (this.#isOver) return;
    this.#socket.resume();
    if (left) this.#read(left);
  }

  /** Where to go on; the same place when the head is not whole. */
  #readHead(bytes: Buffer, from: number): number {
    // One empty line before a request means nothing (RFC 9112, section 2.2).
    const start = !this.#headBegun && bytes[from] === lineEnd && bytes[from + 1] === 10 ? from + 2 : from;
    const hasEmptyLineOnly = start > from ? start === bytes.byteLength : bytes.byteLength - from === 1;
    if (!this.#headBegun && bytes[from] === lineEnd && hasEmptyLineOnly) return start;
    const end = endOfHead(bytes, start);
    if ((end < 0 ? bytes.byteLength : end) - start > maxHeadBytes) {
      this.#unreadable(malformed('http.headers', 'The head of the request is too large.', 431));
      return from;
    }
    if (end < 0) {
      if (!mayBeRequest(bytes.toString('latin1', start, start + maxFirstLineBytes))) {
        this.#unreadable(malformed('http.malformed', notProper));
        return from;
      }
      if (!this.#headBegun) this.#deadline.set(headTimeoutMs);
      this.#headBegun = true;
      return from;
    }
    this.#headBegun = false;
    this.#isIdle = false;
    const request = readRequestStart(bytes.toString('latin1', start, end - 4));
    if (request) this.#begin(request, bytes, end);
    else this.#unreadable(malformed('http.malformed', notProper));
    return end;
  }

  #begin(start: RequestStart, bytes: Buffer, at: number): void {
    const { method, rawHeaders, httpVersion } = start;
    this.#deadline.clear();
    if (method === 'CONNECT') {
      return void this.#on.connect({ ...start, body: noBody }, this.#leave(), bytes.subarray(at));
    }
    const wantsOther =
      headerValues(rawHeaders, 'upgrade').length > 0 && hasConnectionOption(rawHeaders, 'upgrade');
    if (this.#on.upgrade && wantsOther) {
      return void this.#on.upgrade({ ...start, body: noBody }, this.#leave(), bytes.subarray(at));
    }
    const framing = requestFraming(rawHeaders);
    // One whose end is ambiguous is refused, and is the last.
    const body =
      typeof framing === 'string' || framing.kind === 'none'
        ? undefined
        : new Http1Body(framing, () => this.#wanted());
    const keeps = httpVersion === '1.1' && !hasConnectionOption(rawHeaders, 'close');
    const response = new Http1Response(this.#socket, method === 'HEAD', keeps, (kept) =>
      this.#answered(kept),
    );
    this.#body = body;
    this.#response = response;
    if (body) this.#deadline.set(patientMs);
    this.#on.request({ method, url: start.url, httpVersion, rawHeaders, body: body ?? noBody }, response);
  }

  #readBody(body: Http1Body, bytes: Buffer, from: number): number {
    let at = from;
    let waits = false;
    try {
      while (!body.reader.done && at < bytes.byteLength) {
        const next = body.reader.next(bytes, at);
        at = next.at;
        if (next.piece && !body.add(next.piece)) {
          this.#socket.pause();
          waits = true;
        }
      }
    } catch {
      this.#badBody(body);
      return at;
    }
    if (body.reader.done) {
      this.#body = undefined;
      body.complete();
      if (this.#response) this.#deadline.clear();
      else this.#idle();
    } else if (waits) this.#deadline.clear();
    else if (!this.#isOver) this.#deadline.set(this.#bodyTimeoutMs);
    return at;
  }

  /** Whoever reads it learns it from the body, and answers. */
  #badBody(body: Http1Body): void {
    const refusal = malformed('http.malformed', notProper);
    this.#body = undefined;
    if (!this.#response || body.destroyed) return void this.#unreadable(refusal);
    this.#isOver = true;
    body.destroy(new RefusedError(refusal));
  }

  /** Whoever reads a body bounds it more closely; one that nobody wants any more is not waited for as long. */
  get #bodyTimeoutMs(): number {
    return this.#response ? patientMs : idleTimeoutMs;
  }

  #wanted(): void {
    // A deadline that is set after the end would keep all of this for as long as it lasts.
    if (this.#isGiven || this.#socket.destroyed) return;
    if (this.#body && !this.#isOver) this.#deadline.set(this.#bodyTimeoutMs);
    if (this.#body || this.#isOver) this.#socket.resume();
  }

  #answered(keeps: boolean): void {
    this.#response = undefined;
    if (!keeps || this.#isOver) return void this.#end();
    if (this.#body) {
      // It is no longer wanted, and has to be taken off the connection before the next request.
      this.#body.destroy();
      this.#deadline.set(idleTimeoutMs);
      return;
    }
    this.#idle();
    if (!this.#isReading) this.#goOn();
  }

  #idle(): void {
    this.#isIdle = true;
    this.#deadline.set(idleTimeoutMs);
  }

  #late(): void {
    if (this.#response && !this.#isOver) this.#slowBody();
    else if (this.#unsent.shrinks(this.#socket.writableLength)) this.#deadline.set(this.#on.idleMs);
    else if (this.#isOver || this.#socket.writableLength > 0) this.#socket.destroy();
    else if ((this.#isIdle && !this.#headBegun) || this.#body) this.#end();
    else this.#unreadable(malformed('http.timeout', 'The head of the request took too long.', 408));
  }

  /** Whoever reads it learns it from the body, and answers. */
  #slowBody(): void {
    const body = this.#body;
    this.#body = undefined;
    this.#isOver = true;
    const message = `Nothing of the body came for ${patientMs / 60_000} minutes.`;
    body?.destroy(new RefusedError(malformed('limit.idle', message, 408)));
  }

  #unreadable(refusal: Refusal): void {
    const { answers } = this.#on.unreadable(refusal);
    // In the middle of an answer there is no place for another.
    if (this.#response || !answers) this.#socket.destroy();
    else this.#end(rawRefusal(refusal));
  }

  /** Says that no more follows. Closed with something unread, the connection would be reset and the answer lost. */
  #end(last?: Buffer): void {
    this.#isOver = true;
    this.#left = undefined;
    // The time that is left to the client counts from when all was sent.
    const sent = () => this.#deadline.set(lingerMs);
    this.#deadline.set(this.#on.idleMs);
    if (last) this.#socket.end(last, sent);
    else this.#socket.end(sent);
    this.#socket.resume();
  }

  /** Gives the connection away. */
  #leave(): Socket {
    this.#isOver = true;
    this.#isGiven = true;
    this.#deadline.stop();
    this.#socket.off('data', this.#onData);
    this.#socket.off('end', this.#onEnd);
    this.#socket.off('close', this.#onClose);
    this.#socket.off('drain', this.#onDrain);
    return this.#socket.pause();
  }
}

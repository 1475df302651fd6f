import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { type Dispatcher, errors } from 'undici';
import { Deadline } from './deadline.ts';
import { BodyReader } from './http1-body.ts';
import {
  endOfHead,
  forbidden,
  hasConnectionOption,
  headerValues,
  maxFirstLineBytes,
  mayBeResponse,
  readResponseStart,
  responseFraming,
  token,
} from './http1-head.ts';

/** One request as it goes out; the host is the connection's to say, and how its body ends, where nothing says it. */
export interface UpstreamRequest {
  method: string;
  /** With its query. */
  path: string;
  /** Names and values in turn. */
  headers: string[];
  body: Readable | Buffer | null;
  /** Until the answer begins, and between two pieces of it or of what goes up. */
  headersTimeout: number;
  bodyTimeout: number;
}

/** Told what becomes of a request, in undici's form. */
export type UpstreamHandler = Required<
  Pick<
    Dispatcher.DispatchHandler,
    'onRequestStart' | 'onBodySent' | 'onResponseData' | 'onResponseEnd' | 'onResponseError'
  >
> & { onResponseStart(controller: Dispatcher.DispatchController, status: number): void };

export interface UpstreamConnectionOptions {
  socket: Socket;
  /** What `Host` says. */
  authority: string;
  maxHeaderBytes: number;
  /** It can take the next request now. */
  onIdle(connection: UpstreamConnection): void;
  /** It takes none any more. */
  onClose(connection: UpstreamConnection): void;
}

/** Without a word from the upstream about it, a connection that nobody uses is kept for so long. */
const idleMs = 4_000;
const maxIdleMs = 600_000;
/** It is given up this long before the upstream would. */
const idleMarginMs = 2_000;
const unsafePath = /[^!-~]/;
const payloadMethods = new Set(['POST', 'PUT', 'PATCH', 'QUERY']);
const noTrailers = Object.freeze({});

/** An HTTP/1.1 connection to an upstream: one request at a time, and what is read is in one way only (RFC 9112). */
export class UpstreamConnection {
  readonly #options: UpstreamConnectionOptions;
  readonly #socket: Socket;
  readonly #deadline = new Deadline(() => this.#late());
  #exchange: Exchange | undefined;
  #used = false;
  /** The upstream has ended its side, or broken, and the reader of what it had sent before is waited for. */
  #endsLater = false;
  #isOver = false;

  constructor(options: UpstreamConnectionOptions) {
    const { socket } = options;
    this.#options = options;
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.on('error', (error) => this.#lost(error));
    socket.once('end', () => this.#ended());
    socket.once('close', () => {
      if (!this.#endsLater) this.#lost(new errors.SocketError('other side closed'));
    });
    socket.on('drain', () => this.#exchange?.drained());
  }

  send(exchange: Exchange): void {
    this.#exchange = exchange;
    exchange.start(this, this.#socket, this.#options.authority, this.#deadline);
  }

  /** Ends it at once; a request that is on it fails. */
  destroy(error: Error): void {
    this.#end(error);
  }

  /** Goes on with what was not read while the exchange was paused. */
  resume(left: Buffer | undefined): void {
    this.#socket.resume();
    if (left) this.#read(left);
    if (!this.#endsLater || this.#exchange?.paused) return;
    this.#endsLater = false;
    this.#ended();
  }

  /** Kept although nothing was sent over it yet. */
  park(): void {
    if (this.#used) return;
    this.#used = true;
    this.#deadline.set(idleMs);
  }

  pause(): void {
    this.#socket.pause();
  }

  #read(chunk: Buffer): void {
    const exchange = this.#exchange;
    // What comes unasked would be read as the answer to the next request.
    if (!exchange) return void this.#end(new errors.SocketError('an answer without a request'));
    let done: boolean;
    try {
      done = exchange.read(chunk, this.#options.maxHeaderBytes);
    } catch (error) {
      return void this.#end(error as Error);
    }
    if (done) this.#finish(exchange);
  }

  #ended(): void {
    const exchange = this.#exchange;
    if (exchange?.paused) {
      this.#endsLater = true;
      return;
    }
    if (exchange?.endsWithConnection) this.#finish(exchange);
    this.#lost(new errors.SocketError('other side closed'));
  }

  /** The upstream may let go of a connection that it had kept just as the next request comes: nothing was read of it. */
  #lost(error: Error): void {
    if (this.#exchange?.isRead) {
      this.#endsLater = true;
      return;
    }
    this.#end(error, this.#used && this.#exchange?.begun === false);
  }

  #finish(exchange: Exchange): void {
    this.#exchange = undefined;
    this.#used = true;
    this.#deadline.clear();
    try {
      exchange.finish();
    } catch (error) {
      this.#end(error as Error);
      exchange.fail(error as Error, false);
      return;
    }
    const keptMs = exchange.keptMs(idleMs, idleMarginMs);
    if (keptMs === undefined || keptMs <= 0 || this.#isOver || this.#endsLater) {
      this.#end(new errors.SocketError('not kept'));
    } else {
      this.#deadline.set(Math.min(keptMs, maxIdleMs));
      this.#options.onIdle(this);
    }
  }

  #late(): void {
    this.#end(this.#exchange?.lateness() ?? new errors.SocketError('nobody uses it'));
  }

  #end(error: Error, isStale = false): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#deadline.stop();
    const exchange = this.#exchange;
    this.#exchange = undefined;
    this.#socket.destroy();
    this.#options.onClose(this);
    exchange?.fail(error, isStale);
  }
}

/** One request and its answer, and what its handler may do to them. */
export class Exchange implements Dispatcher.DispatchController {
  readonly request: UpstreamRequest;
  readonly #handler: UpstreamHandler;
  /** Asked when the connection was stale: true when the request is sent again over another. */
  readonly #retry: (exchange: Exchange) => boolean;
  #connection: UpstreamConnection | undefined;
  #deadline: Deadline | undefined;
  rawHeaders: string[] = [];
  /** Something of the answer has come. */
  begun = false;
  paused = false;
  reason: Error | null = null;
  #head: Buffer | undefined;
  #reader: BodyReader | undefined;
  #keeps = true;
  #keepAlive: string | undefined;
  #left: Buffer | undefined;
  #sent = false;
  #sentBytes = 0;
  #announcedBytes: number | undefined;
  #over = false;
  #stopBody: (() => void) | undefined;
  #resumeBody: (() => void) | undefined;

  constructor(request: UpstreamRequest, handler: UpstreamHandler, retry: (exchange: Exchange) => boolean) {
    this.request = request;
    this.#handler = handler;
    this.#retry = retry;
  }

  /** Whether its handler was told how it ended. */
  get isOver(): boolean {
    return this.#over;
  }

  get aborted(): boolean {
    return this.reason !== null;
  }

  abort(reason: Error): void {
    if (this.#over || this.aborted) return;
    this.reason = reason;
    // Whoever aborts is told afterwards, not in between.
    process.nextTick(() => {
      if (this.#over) return;
      if (this.#connection) this.#connection.destroy(reason);
      else this.fail(reason, false);
    });
  }

  pause(): void {
    if (this.paused || this.#over) return;
    this.paused = true;
    this.#connection?.pause();
    this.#deadline?.clear();
  }

  resume(): void {
    if (!this.paused || this.#over) return;
    this.paused = false;
    this.#deadline?.set(this.request.bodyTimeout);
    const left = this.#left;
    this.#left = undefined;
    this.#connection?.resume(left);
  }

  start(connection: UpstreamConnection, socket: Socket, authority: string, deadline: Deadline): void {
    const { request } = this;
    this.#connection = connection;
    this.#deadline = deadline;
    deadline.set(request.headersTimeout);
    this.#handler.onRequestStart(this, undefined);
    if (this.aborted) return;
    const written = writeHead(request, authority);
    if (!written) {
      this.abort(new Error('a header holds what no header may'));
      return;
    }
    const { head, isChunked, announcedBytes } = written;
    this.#announcedBytes = announcedBytes;
    const { body } = request;
    if (body === null) {
      socket.write(head, 'latin1');
      this.#sent = true;
    } else if (Buffer.isBuffer(body)) {
      socket.cork();
      socket.write(head, 'latin1');
      socket.write(body);
      socket.uncork();
      this.#sent = true;
      this.#handler.onBodySent(body);
    } else {
      this.#sendBody(body, socket, head, isChunked);
    }
  }

  /** The head goes with the first piece: of a body that breaks before it nothing is sent. */
  #sendBody(body: Readable, socket: Socket, head: string, isChunked: boolean): void {
    let unsent = head;
    const onData = (chunk: Buffer) => {
      this.#sentBytes += chunk.byteLength;
      if (this.#announcedBytes !== undefined && this.#sentBytes > this.#announcedBytes) {
        return void this.abort(new errors.RequestContentLengthMismatchError());
      }
      this.#uploaded();
      this.#handler.onBodySent(chunk);
      socket.cork();
      if (unsent !== '') socket.write(unsent, 'latin1');
      unsent = '';
      if (!writePiece(socket, chunk, isChunked)) body.pause();
      socket.uncork();
    };
    const onEnd = () => {
      if (this.#announcedBytes !== undefined && this.#sentBytes < this.#announcedBytes) {
        return void this.abort(new errors.RequestContentLengthMismatchError());
      }
      this.#stopBody?.();
      this.#sent = true;
      if (unsent !== '' || isChunked) socket.write(`${unsent}${isChunked ? '0\r\n\r\n' : ''}`, 'latin1');
      this.#uploaded();
    };
    const onError = (error: Error) => this.abort(error);
    const onClose = () => this.abort(new Error('the body was cut off'));
    body.on('data', onData);
    body.once('end', onEnd);
    body.once('error', onError);
    body.once('close', onClose);
    this.#resumeBody = () => body.resume();
    this.#stopBody = () => {
      this.#stopBody = undefined;
      this.#resumeBody = undefined;
      body.off('data', onData);
      body.off('end', onEnd);
      body.off('error', onError);
      body.off('close', onClose);
      body.on('error', () => {});
      if (!this.#sent && !body.readableEnded) body.destroy();
    };
    if (body.errored) onError(body.errored);
    else if (body.destroyed && !body.readableEnded) onClose();
    else if (body.readableEnded) onEnd();
  }

  /** Something of the body went up, which is a sign of life whatever has come of the answer. */
  #uploaded(): void {
    if (this.paused) return;
    this.#deadline?.set(this.#reader ? this.request.bodyTimeout : this.request.headersTimeout);
  }

  drained(): void {
    this.#resumeBody?.();
  }

  /** Reads what came. True when the answer is whole. Throws when it is not proper. */
  read(chunk: Buffer, maxHeaderBytes: number): boolean {
    if (this.aborted) return false;
    if (this.paused) {
      this.#left = this.#left ? Buffer.concat([this.#left, chunk]) : chunk;
      return false;
    }
    this.begun = true;
    const searched = Math.max(0, (this.#head?.byteLength ?? 0) - 3);
    let bytes = this.#head ? Buffer.concat([this.#head, chunk]) : chunk;
    this.#head = undefined;
    let at = 0;
    while (!this.#reader) {
      const end = endOfHead(bytes, Math.max(at, searched));
      if ((end < 0 ? bytes.byteLength : end) - at > maxHeaderBytes) throw new errors.HeadersOverflowError();
      if (end < 0) {
        if (!mayBeResponse(bytes.toString('latin1', at, at + maxFirstLineBytes))) throw malformed();
        this.#head = at > 0 ? bytes.subarray(at) : bytes;
        return false;
      }
      this.#readHead(bytes.toString('latin1', at, end - 4));
      at = end;
      if (this.aborted) return false;
    }
    if (at > 0) bytes = bytes.subarray(at);
    return this.#readBody(bytes, this.#reader);
  }

  #readHead(text: string): void {
    const start = readResponseStart(text);
    // We never ask for another protocol here.
    if (!start || start.status === 101) throw malformed();
    this.rawHeaders = start.rawHeaders;
    if (start.status >= 200) {
      const framing = responseFraming(start, this.request.method);
      if (!framing) throw malformed();
      this.#reader = new BodyReader(framing);
      this.#keeps =
        framing.kind !== 'rest' &&
        !hasConnectionOption(start.rawHeaders, 'close') &&
        (start.httpVersion === '1.1' || hasConnectionOption(start.rawHeaders, 'keep-alive'));
      this.#keepAlive = headerValues(start.rawHeaders, 'keep-alive')[0];
      this.#deadline?.set(this.request.bodyTimeout);
    }
    this.#handler.onResponseStart(this, start.status);
  }

  #readBody(bytes: Buffer, reader: BodyReader): boolean {
    let at = 0;
    while (!reader.done && at < bytes.byteLength) {
      if (this.aborted) return false;
      if (this.paused) {
        this.#left = bytes.subarray(at);
        return false;
      }
      let next: ReturnType<BodyReader['next']>;
      try {
        next = reader.next(bytes, at);
      } catch {
        throw malformed();
      }
      at = next.at;
      if (next.piece) this.#handler.onResponseData(this, next.piece);
    }
    if (this.aborted) return false;
    if (!reader.done) {
      if (!this.paused) this.#deadline?.set(this.request.bodyTimeout);
      return false;
    }
    // More than an answer: where it ends cannot be trusted.
    if (at < bytes.byteLength) this.#keeps = false;
    // Its end is told when its reader has taken the rest.
    if (this.paused) {
      this.#left = bytes.subarray(at);
      return false;
    }
    return true;
  }

  get endsWithConnection(): boolean {
    return this.#reader?.lasts === true && !this.paused;
  }

  /** How long its connection may be kept for the next; undefined when it may not. */
  keptMs(otherwiseMs: number, marginMs: number): number | undefined {
    if (!this.#keeps || !this.#sent || this.aborted) return undefined;
    const seconds = /\btimeout=(\d{1,6})\b/i.exec(this.#keepAlive ?? '')?.[1];
    return seconds === undefined ? otherwiseMs : Number(seconds) * 1000 - marginMs;
  }

  /** All of the answer has come, and its reader has not taken it yet. */
  get isRead(): boolean {
    return this.paused && this.#reader?.done === true;
  }

  finish(): void {
    if (this.#over) return;
    this.#stopBody?.();
    const trailers = this.#reader?.trailers ?? [];
    this.#handler.onResponseEnd(this, trailers.length > 0 ? byName(trailers) : noTrailers);
    this.#over = true;
  }

  fail(error: Error, isStale: boolean): void {
    if (this.#over) return;
    const { method, body } = this.request;
    const isRepeatable = (method === 'GET' || method === 'HEAD') && body === null;
    this.#connection = undefined;
    if (isStale && isRepeatable && !this.aborted && this.#retry(this)) return;
    this.#over = true;
    this.#stopBody?.();
    this.#handler.onResponseError(this, this.reason ?? error);
  }

  lateness(): Error {
    return this.#reader ? new errors.BodyTimeoutError() : new errors.HeadersTimeoutError();
  }
}

/** False when the upstream is to be waited for. */
function writePiece(socket: Socket, piece: Buffer, isChunked: boolean): boolean {
  if (!isChunked) return socket.write(piece);
  if (piece.byteLength === 0) return true;
  socket.write(`${piece.byteLength.toString(16)}\r\n`, 'latin1');
  socket.write(piece);
  return socket.write('\r\n', 'latin1');
}

function writeHead({ method, path, headers, body }: UpstreamRequest, authority: string) {
  let head = `${method} ${path} HTTP/1.1\r\n`;
  if (!token.test(method) || unsafePath.test(path)) return undefined;
  let hasHost = false;
  let announced: string | undefined;
  for (let i = 0; i + 1 < headers.length; i += 2) {
    const name = headers[i] ?? '';
    const value = headers[i + 1] ?? '';
    if (name.length === 4) hasHost ||= name.toLowerCase() === 'host';
    else if (name.length === 14 && name.toLowerCase() === 'content-length') announced = value;
    if (forbidden.test(value) || !token.test(name)) return undefined;
    head += `${name}: ${value}\r\n`;
  }
  if (!hasHost) head += `host: ${authority}\r\n`;
  const isStream = body !== null && !Buffer.isBuffer(body);
  const isChunked = isStream && announced === undefined;
  if (isChunked) head += 'transfer-encoding: chunked\r\n';
  else if (announced === undefined && (body !== null || payloadMethods.has(method))) {
    head += `content-length: ${Buffer.isBuffer(body) ? body.byteLength : 0}\r\n`;
  }
  return {
    head: `${head}\r\n`,
    isChunked,
    announcedBytes: announced === undefined ? undefined : Number(announced),
  };
}

function malformed(): Error {
  return Object.assign(new Error('the answer is not proper HTTP/1.1'), { code: 'HPE_MALFORMED' });
}

/** As undici gives them: those that come twice as a list. */
function byName(pairs: readonly string[]): Record<string, string | string[]> {
  // A trailer may be named as what every object has.
  const named: Record<string, string | string[]> = Object.create(null);
  for (let i = 0; i + 1 < pairs.length; i += 2) {
    const name = pairs[i]?.toLowerCase() ?? '';
    const known = named[name];
    named[name] = known === undefined ? (pairs[i + 1] ?? '') : [known, pairs[i + 1] ?? ''].flat();
  }
  return named;
}

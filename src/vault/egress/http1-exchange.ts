import type { Socket } from 'node:net';
import { type Dispatcher, errors } from 'undici';
import type { Deadline } from './deadline.ts';
import { BodyReader } from './http1-body.ts';
import {
  endOfHead,
  fieldsByName,
  hasConnectionOption,
  headerValues,
  maxFirstLineBytes,
  mayBeResponse,
  readResponseStart,
  responseFraming,
} from './http1-head.ts';
import { type UpstreamRequest, writeHead } from './http1-outgoing.ts';
import { inPieces, maxAtOnceBytes, startUpload, type Upload } from './http1-upload.ts';

/** Told what becomes of a request, in undici's form. */
export type UpstreamHandler = Required<
  Pick<
    Dispatcher.DispatchHandler,
    'onRequestStart' | 'onBodySent' | 'onResponseData' | 'onResponseEnd' | 'onResponseError'
  >
> & { onResponseStart(controller: Dispatcher.DispatchController, status: number): void };

/** What an exchange does to the connection that it is on. */
export interface Carrier {
  pause(): void;
  /** Goes on, first with what was not read meanwhile. */
  resume(left: Buffer | undefined): void;
  destroy(error: Error): void;
}

const noTrailers = Object.freeze({});

/** One request and its answer, and what its handler may do to them. */
export class Exchange implements Dispatcher.DispatchController {
  readonly request: UpstreamRequest;
  readonly #handler: UpstreamHandler;
  /** Asked when the connection was stale: true when the request is sent again over another. */
  readonly #retry: (exchange: Exchange) => boolean;
  #connection: Carrier | undefined;
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
  #over = false;
  #upload: Upload | undefined;

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

  start(connection: Carrier, socket: Socket, authority: string, deadline: Deadline): void {
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
    const { body, trailers, lane } = request;
    if (body === null) {
      socket.write(head, 'latin1');
      this.#sent = true;
    } else if (Buffer.isBuffer(body) && body.byteLength <= maxAtOnceBytes) {
      socket.cork();
      socket.write(head, 'latin1');
      socket.write(body);
      socket.uncork();
      this.#sent = true;
      this.#handler.onBodySent(body);
    } else {
      this.#upload = startUpload({
        ...{ body: inPieces(body), sink: socket, head, isChunked, trailers, announcedBytes, lane },
        onPiece: (piece) => {
          this.#uploaded();
          this.#handler.onBodySent(piece);
        },
        onSent: () => {
          this.#sent = true;
          this.#upload = undefined;
          this.#uploaded();
        },
        onFailed: (error) => this.abort(error),
      });
      if (this.#sent) this.#upload = undefined;
    }
  }

  /** Something of the body went up, which is a sign of life whatever has come of the answer. */
  #uploaded(): void {
    if (this.paused) return;
    this.#deadline?.set(this.#reader ? this.request.bodyTimeout : this.request.headersTimeout);
  }

  drained(): void {
    this.#upload?.drained();
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
    this.#upload?.stop();
    const trailers = this.#reader?.trailers ?? [];
    this.#handler.onResponseEnd(this, trailers.length > 0 ? fieldsByName(trailers) : noTrailers);
    this.#over = true;
  }

  fail(error: Error, isStale: boolean): void {
    if (this.#over) return;
    const { method, body } = this.request;
    const isRepeatable = (method === 'GET' || method === 'HEAD') && body === null;
    this.#connection = undefined;
    if (isStale && isRepeatable && !this.aborted && this.#retry(this)) return;
    this.#over = true;
    this.#upload?.stop();
    this.#handler.onResponseError(this, this.reason ?? error);
  }

  lateness(): Error {
    return this.#reader ? new errors.BodyTimeoutError() : new errors.HeadersTimeoutError();
  }
}

function malformed(): Error {
  return Object.assign(new Error('the answer is not proper HTTP/1.1'), { code: 'HPE_MALFORMED' });
}

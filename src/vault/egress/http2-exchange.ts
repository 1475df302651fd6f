import { type ClientHttp2Session, type ClientHttp2Stream, constants } from 'node:http2';
import { type Dispatcher, errors } from 'undici';
import { Deadline } from './deadline.ts';
import type { UpstreamHandler } from './http1-exchange.ts';
import { fieldsByName, headerValues } from './http1-head.ts';
import type { UpstreamRequest } from './http1-outgoing.ts';
import { inPieces, maxAtOnceBytes, startUpload, type Upload } from './http1-upload.ts';
import { http2Fields } from './http2-outgoing.ts';

/** A request that no upstream begins is not offered to ever more connections. */
const maxTries = 3;

/** One request and its answer on a stream of HTTP/2, and what its handler may do to them. */
export class Http2Exchange implements Dispatcher.DispatchController {
  readonly request: UpstreamRequest;
  readonly #handler: UpstreamHandler;
  /** Asked when the upstream has not begun it: it goes over another connection. */
  readonly #again: (exchange: Http2Exchange) => void;
  readonly #deadline = new Deadline(() => this.#late());
  #stream: ClientHttp2Stream | undefined;
  #upload: Upload | undefined;
  #tries = 0;
  #trailers: string[] | undefined;
  /** Of the answer, where it says how long it is. */
  #leftBytes: number | undefined;
  /** The head of the answer was the whole of it. */
  #endedWithHead = false;
  #begun = false;
  #over = false;
  rawHeaders: string[] = [];
  paused = false;
  reason: Error | null = null;

  constructor(request: UpstreamRequest, handler: UpstreamHandler, again: (exchange: Http2Exchange) => void) {
    this.request = request;
    this.#handler = handler;
    this.#again = again;
    // An upstream that takes no request is one that does not answer.
    this.#deadline.set(request.headersTimeout);
  }

  get aborted(): boolean {
    return this.reason !== null;
  }

  get isOver(): boolean {
    return this.#over;
  }

  abort(reason: Error): void {
    if (this.#over || this.aborted) return;
    this.reason = reason;
    // Whoever aborts is told afterwards, not in between.
    process.nextTick(() => this.fail(reason));
  }

  pause(): void {
    if (this.paused || this.#over) return;
    this.paused = true;
    this.#deadline.clear();
    this.#stream?.pause();
  }

  resume(): void {
    if (!this.paused || this.#over) return;
    this.paused = false;
    this.#deadline.set(this.request.bodyTimeout);
    this.#stream?.resume();
  }

  /** Sends it over HTTP/1.1 instead. */
  handTo(upstream: { dispatch(request: UpstreamRequest, handler: UpstreamHandler): unknown }): void {
    if (!this.#over) upstream.dispatch(this.request, this.#handler);
    this.#over = true;
    this.#deadline.stop();
  }

  /** Sends it. Gives the stream that it is on; undefined when there is none, and the handler was told why. */
  start(session: ClientHttp2Session, authority: string): ClientHttp2Stream | undefined {
    const { body, trailers, headersTimeout } = this.request;
    this.#handler.onRequestStart(this, undefined);
    if (this.aborted) return undefined;
    const fields = http2Fields(this.request, authority);
    const isStream = body !== null && !(Buffer.isBuffer(body) && body.byteLength <= maxAtOnceBytes);
    let stream: ClientHttp2Stream;
    try {
      if (!fields) throw new Error('a header holds what no header may');
      stream = session.request(fields, {
        endStream: body === null,
        waitForTrailers: isStream && trailers !== undefined,
      });
    } catch (error) {
      this.abort(error as Error);
      return undefined;
    }
    this.#tries += 1;
    this.#stream = stream;
    this.#deadline.set(headersTimeout);
    this.#listen(stream);
    if (isStream) this.#send(stream, body);
    else if (body !== null) {
      stream.end(body);
      this.#handler.onBodySent(body);
    }
    return stream;
  }

  #send(stream: ClientHttp2Stream, body: Exclude<UpstreamRequest['body'], null>): void {
    const [length] = headerValues(this.request.headers, 'content-length');
    const upload = startUpload({
      ...{ body: inPieces(body), sink: stream, head: '', isChunked: false, trailers: undefined },
      announcedBytes: length === undefined ? undefined : Number(length),
      lane: this.request.lane,
      onPiece: (piece) => {
        this.#uploaded();
        this.#handler.onBodySent(piece);
      },
      onSent: () => {
        this.#uploaded();
        this.#end(stream);
      },
      onFailed: (error) => this.abort(error),
    });
    this.#upload = upload;
    stream.on('drain', () => upload.drained());
  }

  /** The body is whole; what follows it is judged before its end is sent. */
  #end(stream: ClientHttp2Stream): void {
    try {
      const trailers = fieldsByName(this.request.trailers?.() ?? []);
      stream.once('wantTrailers', () => this.#sendTrailers(stream, trailers));
      stream.end();
    } catch (error) {
      this.abort(error as Error);
    }
  }

  #sendTrailers(stream: ClientHttp2Stream, trailers: Record<string, string | string[]>): void {
    try {
      stream.sendTrailers(trailers);
    } catch (error) {
      this.abort(error as Error);
    }
  }

  /** Something of the body went up, which is a sign of life whatever has come of the answer. */
  #uploaded(): void {
    if (this.paused || this.#over) return;
    this.#deadline.set(this.#begun ? this.request.bodyTimeout : this.request.headersTimeout);
  }

  #listen(stream: ClientHttp2Stream): void {
    const onHead = (_named: unknown, flags: number, fields: unknown) => {
      if (stream === this.#stream) this.#readHead(Array.isArray(fields) ? fields.map(String) : [], flags);
    };
    stream.on('headers', onHead);
    stream.once('response', onHead);
    stream.once('trailers', (_named, _flags, fields) => {
      this.#trailers = Array.isArray(fields) ? fields.map(String) : [];
    });
    stream.on('data', (chunk: Buffer) => {
      if (stream !== this.#stream || this.#over || this.aborted) return;
      if (this.#leftBytes !== undefined) this.#leftBytes -= chunk.byteLength;
      this.#deadline.set(this.request.bodyTimeout);
      this.#tell(() => this.#handler.onResponseData(this, chunk));
    });
    stream.once('end', () => {
      if (stream === this.#stream && this.#isWhole(stream)) this.#finish();
    });
    stream.on('error', (error) => this.#lost(stream, error));
    stream.once('close', () => this.#lost(stream, new errors.SocketError('other side closed')));
  }

  #readHead(fields: string[], flags: number): void {
    if (this.#over || this.aborted) return;
    const status = Number(headerValues(fields, ':status')[0]);
    this.rawHeaders = fields.filter((_, i) => !fields[i - (i % 2)]?.startsWith(':'));
    this.#deadline.set(this.request.bodyTimeout);
    if (status < 200) this.#deadline.set(this.request.headersTimeout);
    else {
      this.#begun = true;
      this.#endedWithHead = (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0;
      const [length] = headerValues(this.rawHeaders, 'content-length');
      const isEmpty = this.request.method === 'HEAD' || status === 304;
      this.#leftBytes = length === undefined || isEmpty ? undefined : Number(length);
    }
    this.#tell(() => this.#handler.onResponseStart(this, status));
  }

  /** An answer that its handler cannot take, as one that cannot be said to its client, ends here. */
  #tell(told: () => void): void {
    try {
      told();
    } catch (error) {
      this.abort(error as Error);
    }
  }

  /** A stream that was reset ends as well, for Node. */
  #isWhole({ rstCode }: ClientHttp2Stream): boolean {
    if (!this.#begun) return false;
    if (this.#endedWithHead || this.#trailers) return true;
    return this.#leftBytes === undefined ? rstCode === constants.NGHTTP2_NO_ERROR : this.#leftBytes === 0;
  }

  #finish(): void {
    if (this.#over || this.aborted) return;
    this.#over = true;
    this.#deadline.stop();
    this.#upload?.stop();
    const stream = this.#stream;
    // Answered before all was sent: the rest is not wanted.
    if (stream && !stream.writableEnded) stream.close(constants.NGHTTP2_CANCEL);
    try {
      this.#handler.onResponseEnd(this, fieldsByName(this.#trailers ?? []));
    } catch (error) {
      this.#handler.onResponseError(this, error as Error);
    }
  }

  #lost(stream: ClientHttp2Stream, error: Error): void {
    if (this.#over || stream !== this.#stream) return;
    // The upstream says that it has done nothing with it (RFC 9113, section 8.7).
    const isUntouched = stream.rstCode === constants.NGHTTP2_REFUSED_STREAM && !this.#begun;
    if (isUntouched && this.request.body === null && !this.aborted && this.#tries < maxTries) {
      this.#stream = undefined;
      this.#again(this);
      return;
    }
    this.fail(error);
  }

  /** Ends it, and tells its handler why. */
  fail(error: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#deadline.stop();
    this.#upload?.stop();
    const stream = this.#stream;
    if (stream && !stream.destroyed) {
      stream.close(constants.NGHTTP2_CANCEL);
      // Closed only, it could wait for what it has not read.
      stream.destroy();
    }
    this.#handler.onResponseError(this, this.reason ?? error);
  }

  #late(): void {
    // The connection may be dead without a word: what is under way goes on, and what comes next takes another.
    this.#stream?.session?.close();
    this.abort(this.#begun ? new errors.BodyTimeoutError() : new errors.HeadersTimeoutError());
  }
}

import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { forwardedResponseHeaders } from './header-rules.ts';
import type { UsageReader } from './model-usage.ts';
import type { Redaction } from './redaction.ts';
import { failed, type Refusal, RefusedError } from './refusal.ts';

/** One request on its way out, rebuilt from what the gate read. */
export interface ForwardInput {
  dispatcher: Dispatcher;
  method: string;
  path: string;
  /** Names and values in turn. */
  headers: string[];
  body: Readable | Buffer | null;
  response: ServerResponse;
  /** Cleans what comes back. */
  redaction?: Redaction;
  /** Reads along. */
  reader?: UsageReader | undefined;
  /** Asked before anything is sent back; true drops this answer, for the caller to ask again. */
  discard?: (status: number) => boolean;
}

export interface ForwardResult {
  /** `sent`: whole; `cut`: it broke off after it had begun; `failed`: nothing was sent back yet; `discarded`: asked again. */
  outcome: 'sent' | 'cut' | 'failed' | 'discarded';
  status: number | undefined;
  bytesUp: number;
  bytesDown: number;
  /** For `failed`: what to answer. */
  refusal?: Refusal;
}

/** An event of a stream is not held back for longer, whatever it ends with. */
const holdMs = 50;

/**
 * Passes a request on and its answer back, as it comes: nothing is collected, a slow reader slows the upstream, a
 * reader that goes away ends it. Redirects are answers like any other. Never rejects.
 */
export function forward(input: ForwardInput): Promise<ForwardResult> {
  return new Promise((resolve) => {
    const relay = new Relay(input, resolve);
    try {
      input.dispatcher.dispatch(
        {
          method: input.method,
          path: input.path,
          headers: input.headers,
          body: input.body,
        },
        relay,
      );
    } catch (error) {
      relay.onResponseError(undefined, error as Error);
    }
  });
}

class Relay implements Dispatcher.DispatchHandler {
  readonly #response: ServerResponse;
  readonly #discard: ((status: number) => boolean) | undefined;
  readonly #reader: UsageReader | undefined;
  readonly #redaction: Redaction | undefined;
  readonly #search: ReturnType<Redaction['stream']> | undefined;
  #idle: NodeJS.Timeout | undefined;
  readonly #settle: (result: ForwardResult) => void;
  readonly #onClose = () => this.#readerGone();
  #controller: Dispatcher.DispatchController | undefined;
  #status: number | undefined;
  #bytesUp = 0;
  #bytesDown = 0;
  #gone = false;
  #discarded = false;

  constructor(input: ForwardInput, settle: (result: ForwardResult) => void) {
    this.#response = input.response;
    this.#discard = input.discard;
    this.#reader = input.reader;
    this.#redaction = input.redaction?.active ? input.redaction : undefined;
    this.#search = this.#redaction?.stream();
    this.#settle = settle;
    input.response.once('close', this.#onClose);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#gone) controller.abort(new Error('the reader went away'));
  }

  onBodySent(chunk: Buffer): void {
    this.#bytesUp += chunk.byteLength;
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (status < 200) return;
    this.#status = status;
    if (this.#discard?.(status)) {
      this.#discarded = true;
      controller.abort(new Error('the answer is dropped'));
      return;
    }
    const headers = forwardedResponseHeaders(rawPairs(controller.rawHeaders));
    const redaction = this.#redaction;
    this.#response.writeHead(status, redaction ? headers.map((part) => redaction.text(part)) : headers);
    this.#response.flushHeaders();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#discarded) return;
    this.#bytesDown += chunk.byteLength;
    this.#reader?.push(chunk);
    if (this.#write(chunk)) return;
    controller.pause();
    this.#response.once('drain', () => controller.resume());
  }

  /** Passes on what is clean; a possible beginning of a secret waits for what follows, but not for long. */
  #write(chunk: Buffer): boolean {
    if (!this.#search) return this.#response.write(chunk);
    clearTimeout(this.#idle);
    const clean = this.#search.push(chunk);
    if (this.#search.holds()) this.#idle = setTimeout(() => this.#flush(), holdMs);
    return clean.byteLength === 0 || this.#response.write(clean);
  }

  #flush(): void {
    clearTimeout(this.#idle);
    const left = this.#search?.rest();
    if (left && left.byteLength > 0 && !this.#response.destroyed) this.#response.write(left);
  }

  onResponseEnd(): void {
    this.#flush();
    this.#reader?.end();
    this.#response.off('close', this.#onClose);
    if (!this.#discarded) this.#response.end();
    this.#finish(this.#discarded ? 'discarded' : 'sent');
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    clearTimeout(this.#idle);
    this.#response.off('close', this.#onClose);
    if (this.#discarded) {
      this.#finish('discarded');
    } else if (this.#response.headersSent || this.#gone) {
      // A truncated answer must look truncated.
      this.#response.destroy();
      this.#finish('cut');
    } else {
      this.#finish('failed', describe(error));
    }
  }

  #readerGone(): void {
    if (this.#response.writableFinished) return;
    this.#gone = true;
    this.#controller?.abort(new Error('the reader went away'));
  }

  #finish(outcome: ForwardResult['outcome'], refusal?: Refusal): void {
    this.#settle({
      outcome,
      status: this.#status,
      bytesUp: this.#bytesUp,
      bytesDown: this.#bytesDown,
      ...(refusal ? { refusal } : {}),
    });
  }
}

function rawPairs(raw: Dispatcher.DispatchController['rawHeaders']): string[] {
  if (!Array.isArray(raw)) return [];
  return raw.map((part) => (typeof part === 'string' ? part : part.toString('latin1')));
}

function describe(error: Error): Refusal {
  if (error instanceof RefusedError) return error.refusal;
  const code = String((error as { code?: unknown }).code ?? '');
  if (code.startsWith('UND_ERR_HEADERS_TIMEOUT') || code.startsWith('UND_ERR_BODY_TIMEOUT')) {
    return failed('upstream.timeout', 'The upstream did not answer in time.', 504);
  }
  if (code.startsWith('HPE_') || code.startsWith('UND_ERR_HEADERS_OVERFLOW')) {
    return failed('upstream.malformed', "The upstream's answer was not proper HTTP.");
  }
  if (code.startsWith('UND_ERR_REQ_CONTENT_LENGTH')) {
    return failed('http.framing', 'The body was not as long as announced.', 400);
  }
  return failed('upstream.broken', 'The connection to the upstream broke.');
}

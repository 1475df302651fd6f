import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { forwardedResponseHeaders } from './header-rules.ts';
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
    this.#response.writeHead(status, forwardedResponseHeaders(rawPairs(controller.rawHeaders)));
    this.#response.flushHeaders();
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#discarded) return;
    this.#bytesDown += chunk.byteLength;
    if (this.#response.write(chunk)) return;
    controller.pause();
    this.#response.once('drain', () => controller.resume());
  }

  onResponseEnd(): void {
    this.#response.off('close', this.#onClose);
    if (!this.#discarded) this.#response.end();
    this.#finish(this.#discarded ? 'discarded' : 'sent');
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
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

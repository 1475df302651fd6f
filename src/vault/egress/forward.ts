import type { IncomingHttpHeaders } from 'node:http';
import type { Readable } from 'node:stream';
import type { Dispatcher } from 'undici';
import { AnswerWriter } from './answer-writer.ts';
import type { BodyBudget } from './bodies.ts';
import type { ClientResponse } from './client-messages.ts';
import type { Lane } from './fair-queue.ts';
import { passedBy } from './garbage.ts';
import { forwardedResponseHeaders, rawPairs } from './header-rules.ts';
import { HeldAnswer, type Hold } from './held-answer.ts';
import type { UpstreamHandler } from './http1-exchange.ts';
import { headerValues } from './http1-head.ts';
import type { UpstreamRequest } from './http1-outgoing.ts';
import { Brake, Pace } from './pace.ts';
import { ReaderWatch } from './reader-watch.ts';
import type { Redaction } from './redaction.ts';
import { failed, malformed, type Refusal, RefusedError } from './refusal.ts';
import { patientMs, refusalOfFailure, type Silence, watchUpload } from './upstream-failure.ts';
import type { Upstream } from './upstream-pools.ts';

/** Reads along what comes back. */
export interface AnswerReader {
  push(chunk: Buffer): void;
  end(): void;
}

/** One request on its way out, rebuilt from what the gate read. */
export interface ForwardInput {
  upstream: Upstream;
  method: string;
  path: string;
  /** Names and values in turn. */
  headers: string[];
  body: Readable | Buffer | null;
  trailers?: UpstreamRequest['trailers'];
  response: ClientResponse;
  /** Cleans what comes back. */
  redaction?: Redaction;
  /** Reads along. */
  reader?: AnswerReader | undefined;
  /** Asked before anything is sent back; true drops this answer, for the caller to ask again. */
  discard?: (status: number, rawHeaders: readonly string[]) => boolean;
  /** Called when an answer comes, before anything of it is sent back. */
  answered?: () => void;
  /** Holds an answer that succeeded back until it was judged. */
  hold?: Hold;
  /** Bounds what is held. */
  budget: BodyBudget;
  /** How long it may be silent; as long as the pool lets it when left out. */
  silence?: Silence | undefined;
  /** In which large bodies wait. */
  lane?: Lane | undefined;
}

export interface ForwardResult {
  /** `sent`: whole; `cut`: it broke off after it had begun; `failed`: nothing was sent back yet; `discarded`: asked again. */
  outcome: 'sent' | 'cut' | 'failed' | 'discarded';
  status: number | undefined;
  bytesUp: number;
  bytesDown: number;
  /** For `cut`: the rule that ended it, where one did. */
  cutBy?: string;
  /** For `failed`: what to answer. */
  refusal?: Refusal;
}

/** Answers before the answer (103 and its like); more of them are a flood. */
const maxInterim = 32;

/**
 * Passes a request on and its answer back, as it comes: nothing is collected, a slow reader slows the upstream, a
 * reader that goes away ends it. Redirects are answers like any other. Never rejects.
 */
export function forward(input: ForwardInput): Promise<ForwardResult> {
  if (input.response.destroyed) {
    // Who asked has gone meanwhile: nobody is asked for nobody.
    return Promise.resolve({ outcome: 'cut', status: undefined, bytesUp: 0, bytesDown: 0 });
  }
  return new Promise((resolve) => {
    const relay = new Relay(input, resolve);
    const { silence } = input;
    try {
      input.upstream.dispatch(
        {
          method: input.method,
          path: input.path,
          headers: input.headers,
          body: input.body,
          trailers: input.trailers,
          lane: input.lane,
          headersTimeout: silence?.firstByteMs ?? patientMs,
          bodyTimeout: silence?.idleMs ?? patientMs,
        },
        relay,
      );
    } catch (error) {
      relay.onResponseError(undefined, error as Error);
    }
  });
}

class Relay implements UpstreamHandler {
  readonly #response: ClientResponse;
  readonly #discard: ForwardInput['discard'];
  readonly #reader: AnswerReader | undefined;
  readonly #writer: AnswerWriter;
  readonly #pace: Pace;
  #brake: Brake | undefined;
  readonly #silence: Silence | undefined;
  /** Of the answer, where its reader is slower than it comes. */
  #watch: ReaderWatch | undefined;
  /** Runs while a body goes up, anew with each piece of it. */
  #uploadTimer: NodeJS.Timeout | undefined;
  readonly #settle: (result: ForwardResult) => void;
  readonly #onClose = () => this.#readerGone();
  #controller: Dispatcher.DispatchController | undefined;
  #status: number | undefined;
  readonly #answered: (() => void) | undefined;
  readonly #hold: Hold | undefined;
  readonly #budget: BodyBudget;
  /** While an answer is held back: it, and the head that is to go before it. */
  #held: { head: { status: number; headers: string[] }; answer: HeldAnswer } | undefined;
  #interims = 0;
  #bytesUp = 0;
  #bytesDown = 0;
  #gone = false;
  #discarded = false;
  #finished = false;

  constructor(input: ForwardInput, settle: (result: ForwardResult) => void) {
    this.#response = input.response;
    this.#discard = input.discard;
    this.#reader = input.reader;
    this.#writer = new AnswerWriter(input.response, input.redaction?.active ? input.redaction : undefined);
    this.#pace = new Pace(input.lane);
    this.#answered = input.answered;
    this.#hold = input.hold;
    this.#budget = input.budget;
    this.#settle = settle;
    this.#silence = input.silence;
    if (input.silence && input.body && !Buffer.isBuffer(input.body)) {
      const end = (error: RefusedError) => this.#controller?.abort(error);
      this.#uploadTimer = watchUpload(input.body, input.silence.idleMs, end);
    }
    input.response.once('close', this.#onClose);
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#gone) controller.abort(new Error('the reader went away'));
  }

  onBodySent(chunk: Buffer): void {
    this.#bytesUp += chunk.byteLength;
    this.#uploadTimer?.refresh();
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number): void {
    if (status < 200) {
      this.#interim(controller);
      return;
    }
    this.#status = status;
    const pairs = rawPairs(controller.rawHeaders);
    if (this.#discard?.(status, pairs)) {
      this.#discarded = true;
      controller.abort(new Error('the answer is dropped'));
      return;
    }
    this.#answered?.();
    const headers = forwardedResponseHeaders(pairs);
    if (this.#hold && status < 300) {
      this.#held = { head: { status, headers }, answer: new HeldAnswer(this.#hold.maxBytes, this.#budget) };
      const encoding = headerValues(headers, 'content-encoding').some((value) => value !== 'identity');
      if (encoding) this.#judgeUnread(controller);
      return;
    }
    this.#writer.head(status, headers);
  }

  get #idleMs(): number {
    return this.#silence?.idleMs ?? patientMs;
  }

  #interim(controller: Dispatcher.DispatchController): void {
    this.#interims += 1;
    if (this.#interims <= maxInterim) return;
    const message = 'The upstream announced its answer again and again.';
    controller.abort(new RefusedError(failed('upstream.malformed', message)));
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#discarded) return;
    this.#bytesDown += chunk.byteLength;
    passedBy(chunk.byteLength);
    this.#reader?.push(chunk);
    void this.#pace.passed(chunk.byteLength)?.then(this.#stop(controller));
    if (this.#held) {
      if (!this.#held.answer.add(chunk)) this.#judgeUnread(controller);
      return;
    }
    if (this.#writer.write(chunk)) return;
    this.#watch ??= new ReaderWatch(this.#response, this.#idleMs, () => this.#readerStopped());
    this.#watch.wait(this.#stop(controller));
  }

  /** Lets nothing come until the function that is given back is called. */
  #stop(controller: Dispatcher.DispatchController): () => void {
    this.#brake ??= new Brake(controller);
    return this.#brake.hold();
  }

  #readerStopped(): void {
    const message = `The client took nothing of the answer for ${this.#idleMs / 1000} seconds.`;
    this.#controller?.abort(new RefusedError(malformed('limit.idle', message, 408)));
  }

  /** What cannot be read whole is judged as such; what follows is passed on as it comes. */
  #judgeUnread(controller: Dispatcher.DispatchController): void {
    const goOn = this.#stop(controller);
    this.#judged(undefined, () => {
      const answer = this.#release();
      if (answer && answer.byteLength > 0) this.#writer.write(answer);
      goOn();
    });
  }

  #judged(body: Buffer | undefined, then: () => void): void {
    const judging = this.#hold?.judge(body) ?? Promise.resolve();
    judging.then(then).catch((error: Error) => {
      this.#held?.answer.take();
      this.#held = undefined;
      this.#discarded = true;
      this.#controller?.abort(error);
      this.#response.off('close', this.#onClose);
      this.#finish('failed', refusalOfFailure(error, this.#silence));
    });
  }

  /** Sends the head of what was held, and answers its body. */
  #release(): Buffer | undefined {
    const held = this.#held;
    this.#held = undefined;
    if (held && !this.#gone) this.#writer.head(held.head.status, held.head.headers);
    return held?.answer.take();
  }

  onResponseEnd(_controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    const held = this.#held?.answer.take();
    if (!held) {
      this.#ended(trailers);
      return;
    }
    this.#judged(held, () => {
      this.#release();
      this.#writer.write(held);
      this.#ended(trailers);
    });
  }

  #ended(trailers: IncomingHttpHeaders): void {
    this.#reader?.end();
    this.#response.off('close', this.#onClose);
    if (!this.#discarded) this.#writer.end(trailers);
    this.#finish(this.#discarded ? 'discarded' : 'sent');
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    this.#writer.drop();
    this.#response.off('close', this.#onClose);
    this.#held?.answer.take();
    this.#held = undefined;
    if (this.#discarded) {
      this.#finish('discarded');
    } else if (this.#response.headersSent || this.#gone) {
      // A truncated answer must look truncated.
      this.#response.destroy();
      this.#finish('cut', refusalOfFailure(error, this.#silence));
    } else {
      this.#finish('failed', refusalOfFailure(error, this.#silence));
    }
  }

  #readerGone(): void {
    if (this.#response.writableFinished) return;
    this.#gone = true;
    this.#controller?.abort(new Error('the reader went away'));
  }

  #finish(outcome: ForwardResult['outcome'], refusal?: Refusal): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#watch?.stop();
    this.#settle({
      outcome,
      status: this.#status,
      bytesUp: this.#bytesUp,
      bytesDown: this.#bytesDown,
      ...(outcome === 'cut' && refusal?.rule.startsWith('limit.') ? { cutBy: refusal.rule } : {}),
      ...(refusal && outcome === 'failed' ? { refusal } : {}),
    });
  }
}

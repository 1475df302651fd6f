import type { Socket } from 'node:net';
import { errors } from 'undici';
import { Deadline } from './deadline.ts';
import type { Exchange } from './http1-exchange.ts';

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

import type { Socket } from 'node:net';
import { errors } from 'undici';
import { Exchange, type UpstreamHandler } from './http1-exchange.ts';
import type { UpstreamRequest } from './http1-outgoing.ts';
import { UpstreamConnection } from './http1-upstream.ts';

export interface Http1PoolOptions {
  /** Asked before each connection that is opened: what to wait for, if anything. */
  turn?: () => Promise<void> | undefined;
  /** Opens a connection. Rejects with why there is none. */
  dial: () => Promise<Socket>;
  /** What `Host` says where a request does not. */
  authority: string;
  maxConnections: number;
  maxHeaderBytes: number;
}

/** The connections to one origin, each for one request at a time; what finds none free waits its turn. */
export class Http1Pool {
  readonly #options: Http1PoolOptions;
  readonly #all = new Set<UpstreamConnection>();
  /** The one that was used last is used next, so that those that are not needed end. */
  readonly #idle: UpstreamConnection[] = [];
  #waiting: Exchange[] = [];
  #dialing = 0;
  #closed = false;
  #destroyed = false;

  constructor(options: Http1PoolOptions) {
    this.#options = options;
  }

  /** Sends a request when there is a connection for it. What becomes of it is told to the handler, never thrown. */
  dispatch(request: UpstreamRequest, handler: UpstreamHandler): void {
    const exchange = new Exchange(request, handler, (stale) => this.#again(stale));
    if (this.#destroyed) {
      process.nextTick(() => exchange.fail(new errors.ClientDestroyedError(), false));
      return;
    }
    const connection = this.#idle.pop();
    if (connection) return void connection.send(exchange);
    this.#waiting.push(exchange);
    this.#dialMore();
  }

  /** Takes a connection that was opened elsewhere. */
  adopt(socket: Socket): void {
    this.#dialing += 1;
    this.#connected(socket);
  }

  /** Takes what waits and what is under way to its end, and then keeps nothing open. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#idle.splice(0)) connection.destroy(new errors.ClientClosedError());
  }

  /** Breaks every connection. */
  destroy(): void {
    this.close();
    this.#destroyed = true;
    const error = new errors.ClientDestroyedError();
    for (const exchange of this.#waiting.splice(0)) exchange.fail(error, false);
    for (const connection of [...this.#all]) connection.destroy(error);
  }

  /** One that waited on a connection that was gone is the next to be sent, over another. */
  #again(exchange: Exchange): boolean {
    if (this.#destroyed) return false;
    exchange.begun = false;
    const connection = this.#idle.pop();
    if (connection) connection.send(exchange);
    else {
      this.#waiting.unshift(exchange);
      this.#dialMore();
    }
    return true;
  }

  #dialMore(): void {
    const { maxConnections, turn } = this.#options;
    while (this.#dialing < this.#waiting.length && this.#all.size + this.#dialing < maxConnections) {
      this.#dialing += 1;
      const wait = turn?.();
      if (wait) void wait.then(() => this.#dial());
      else this.#dial();
    }
  }

  #dial(): void {
    // Another connection may have become free meanwhile, or whoever waited have left.
    this.#waiting = this.#waiting.filter(({ isOver }) => !isOver);
    if (this.#waiting.length < this.#dialing) {
      this.#dialing -= 1;
      return;
    }
    this.#options.dial().then(
      (socket) => this.#connected(socket),
      (error: Error) => {
        this.#dialing -= 1;
        this.#waiting.shift()?.fail(error, false);
        this.#dialMore();
      },
    );
  }

  #connected(socket: Socket): void {
    this.#dialing -= 1;
    const { authority, maxHeaderBytes } = this.#options;
    const connection = new UpstreamConnection({
      ...{ socket, authority, maxHeaderBytes },
      onIdle: (idle) => this.#next(idle),
      onClose: (gone) => this.#gone(gone),
    });
    this.#all.add(connection);
    if (this.#destroyed || socket.destroyed) connection.destroy(new errors.ClientDestroyedError());
    else this.#next(connection);
  }

  #next(connection: UpstreamConnection): void {
    let exchange = this.#waiting.shift();
    while (exchange?.isOver) exchange = this.#waiting.shift();
    if (exchange) connection.send(exchange);
    else if (this.#closed) connection.destroy(new errors.ClientClosedError());
    else {
      connection.park();
      this.#idle.push(connection);
    }
  }

  #gone(connection: UpstreamConnection): void {
    this.#all.delete(connection);
    const at = this.#idle.indexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    this.#dialMore();
  }
}

import { type ClientHttp2Session, connect } from 'node:http2';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { errors } from 'undici';
import type { UpstreamHandler } from './http1-exchange.ts';
import type { UpstreamRequest } from './http1-outgoing.ts';
import type { Http1Pool } from './http1-pool.ts';
import { Http2Exchange } from './http2-exchange.ts';

export interface Http2PoolOptions {
  /** Asked before each connection that is opened: what to wait for, if anything. */
  turn?: () => Promise<void> | undefined;
  /** Opens a connection on which HTTP/2 was offered. Rejects with why there is none. */
  dial: () => Promise<Socket>;
  authority: string;
  maxConnections: number;
  /** Where the upstream does not speak HTTP/2. */
  http1: Http1Pool;
}

/** As over HTTP/1.1, without a word from the upstream about it. */
const idleMs = 4_000;
/** An upstream that chose HTTP/1.1 is not asked again before. */
const http1Ms = 60_000;
/** On a connection whose upstream takes any number. */
const maxStreams = 1_000;
const connectionWindowBytes = 1024 * 1024;
const sessionOptions = {
  settings: { enablePush: false, initialWindowSize: 256 * 1024 },
  // A client may say twice what is said once; that is passed on as it is, as over HTTP/1.1.
  strictSingleValueFields: false,
};

interface Connection {
  session: ClientHttp2Session;
  streams: number;
  /** It has said how many requests at once it takes. */
  isKnown: boolean;
  idle: NodeJS.Timeout | undefined;
}

/** The connections of HTTP/2 to one origin, each for as many requests at once as the upstream takes. */
export class Http2Pool {
  readonly #options: Http2PoolOptions;
  readonly #all = new Set<Connection>();
  #waiting: Http2Exchange[] = [];
  #isDialing = false;
  #http1UntilMs = 0;
  #isClosed = false;
  #isDestroyed = false;

  constructor(options: Http2PoolOptions) {
    this.#options = options;
  }

  /** Sends a request when there is a connection for it. What becomes of it is told to the handler, never thrown. */
  dispatch(request: UpstreamRequest, handler: UpstreamHandler): void {
    if (performance.now() < this.#http1UntilMs) this.#options.http1.dispatch(request, handler);
    else this.#enter(new Http2Exchange(request, handler, (untouched) => this.#enter(untouched)));
  }

  /** Takes what waits and what is under way to its end, and then keeps nothing open. */
  close(): void {
    this.#isClosed = true;
    for (const connection of [...this.#all]) if (connection.streams === 0) connection.session.close();
  }

  /** Breaks every connection. */
  destroy(): void {
    this.close();
    this.#isDestroyed = true;
    const error = new errors.ClientDestroyedError();
    for (const exchange of this.#waiting.splice(0)) exchange.fail(error);
    for (const { session } of [...this.#all]) session.destroy();
  }

  #enter(exchange: Http2Exchange): void {
    if (this.#isDestroyed)
      return void process.nextTick(() => exchange.fail(new errors.ClientDestroyedError()));
    this.#waiting.push(exchange);
    this.#sendMore();
  }

  #sendMore(): void {
    this.#waiting = this.#waiting.filter(({ isOver }) => !isOver);
    while (this.#waiting.length > 0) {
      const connection = [...this.#all].find(hasRoom);
      if (!connection) return void this.#dialMore();
      const exchange = this.#waiting.shift();
      if (exchange) this.#send(exchange, connection);
    }
  }

  #send(exchange: Http2Exchange, connection: Connection): void {
    clearTimeout(connection.idle);
    connection.streams += 1;
    const stream = exchange.start(connection.session, this.#options.authority);
    if (stream) stream.once('close', () => this.#left(connection));
    else this.#left(connection);
  }

  #left(connection: Connection): void {
    connection.streams -= 1;
    if (connection.streams === 0) this.#rest(connection);
    this.#sendMore();
  }

  /** Nobody uses it. */
  #rest(connection: Connection): void {
    const { session } = connection;
    if (this.#isClosed && this.#waiting.length === 0) return void session.close();
    clearTimeout(connection.idle);
    connection.idle = setTimeout(() => session.close(), idleMs);
    connection.idle.unref();
  }

  #dialMore(): void {
    const { maxConnections, turn } = this.#options;
    const taking = [...this.#all].filter(({ session }) => !session.closed && !session.destroyed);
    // One that has not said yet how many requests it takes may take these.
    const isEnough = taking.length >= maxConnections || taking.some(({ isKnown }) => !isKnown);
    if (this.#isDialing || isEnough) return;
    this.#isDialing = true;
    const wait = turn?.();
    if (wait) void wait.then(() => this.#dial());
    else this.#dial();
  }

  #dial(): void {
    this.#waiting = this.#waiting.filter(({ isOver }) => !isOver);
    if (this.#waiting.length === 0) {
      this.#isDialing = false;
      return;
    }
    this.#options.dial().then(
      (socket) => {
        this.#isDialing = false;
        this.#connected(socket);
      },
      (error: Error) => {
        this.#isDialing = false;
        for (const exchange of this.#waiting.splice(0)) exchange.fail(error);
      },
    );
  }

  #connected(socket: Socket): void {
    if (this.#isDestroyed) return void socket.destroy();
    if ((socket as Partial<TLSSocket>).alpnProtocol !== 'h2') return void this.#giveUp(socket);
    const { authority } = this.#options;
    const session = connect(`https://${authority}`, { ...sessionOptions, createConnection: () => socket });
    const connection: Connection = { session, streams: 0, isKnown: false, idle: undefined };
    this.#all.add(connection);
    session.once('connect', () => session.setLocalWindowSize(connectionWindowBytes));
    session.on('remoteSettings', () => {
      connection.isKnown = true;
      this.#sendMore();
    });
    // Each stream is told by itself.
    session.on('error', () => {});
    // One that says goodbye takes no more, and what waits may need another.
    session.on('goaway', () => this.#sendMore());
    session.once('close', () => this.#gone(connection));
    this.#rest(connection);
    this.#sendMore();
  }

  #gone(connection: Connection): void {
    clearTimeout(connection.idle);
    if (this.#all.delete(connection)) this.#sendMore();
  }

  /** The upstream speaks HTTP/1.1 only: on this connection, for a start. */
  #giveUp(socket: Socket): void {
    const { http1 } = this.#options;
    this.#http1UntilMs = performance.now() + http1Ms;
    http1.adopt(socket);
    for (const exchange of this.#waiting.splice(0)) exchange.handTo(http1);
  }
}

function hasRoom({ session, streams, isKnown }: Connection): boolean {
  if (session.closed || session.destroyed) return false;
  // More than it takes would be refused, which is the end of a request with a body.
  return streams < (isKnown ? (session.remoteSettings.maxConcurrentStreams ?? maxStreams) : 1);
}

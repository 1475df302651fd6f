import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { serveHttp2 } from './http2-door.ts';
import { answerRefusal, type EgressParts, type RecordStart, recordRefusal } from './parts.ts';
import { malformed, type Refusal, RefusedError, rawRefusal } from './refusal.ts';
import { serveRequest, serveUpgrade } from './session-door.ts';
import { newTunnel, startOf, type Tunnel } from './tunnel.ts';

/** How every HTTP/1.1 server reads that speaks to a sandbox. */
export const serverOptions = {
  headersTimeout: 15_000,
  // A push may take as long as it takes; what stalls is seen by the upstream.
  requestTimeout: 0,
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 5_000,
  maxHeaderSize: 16 * 1024,
  insecureHTTPParser: false,
  noDelay: true,
} as const;

/** Speaks HTTP inside tunnels, HTTP/1.1 or HTTP/2 as TLS has agreed; never listens itself. */
export class TunnelServer {
  readonly #parts: EgressParts;
  readonly #inner: Server;
  readonly #tunnels = new WeakMap<Socket, Tunnel>();

  constructor(parts: EgressParts) {
    this.#parts = parts;
    this.#inner = createServer(serverOptions);
    this.#inner.maxHeadersCount = 0;
    this.watch(this.#inner, (request, response) => {
      const tunnel = this.#tunnels.get(request.socket);
      if (!tunnel) return void request.socket.destroy();
      return serveRequest(parts, tunnel, request, response, request.url ?? '');
    });
    this.#inner.on('connect', (request: IncomingMessage, socket: Socket) =>
      this.#unreadable(
        socket,
        malformed('http.method', 'CONNECT inside a tunnel is not passed on.', 405),
        request,
      ),
    );
    this.#inner.on('upgrade', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      const tunnel = this.#tunnels.get(socket);
      // In the middle of an answer there is no place for another.
      if (!tunnel || tunnel.active > 0) return void socket.destroy();
      socket.on('error', () => {});
      void serveUpgrade(parts, tunnel, request, socket, head);
    });
    // The server's own watch over slow heads starts with this event, which a server that never listens does not emit.
    this.#inner.emit('listening');
  }

  close(): void {
    this.#inner.close();
  }

  /** Answers what comes to a server, and what its parser cannot read. */
  watch(server: Server, serve: (request: IncomingMessage, response: ServerResponse) => unknown): void {
    server.on('request', serve);
    server.on('checkContinue', serve);
    server.on('checkExpectation', serve);
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) =>
      this.#parserError(error, socket),
    );
  }

  /** Remembers where a connection leads. */
  know(socket: Socket, tunnel: Tunnel): void {
    this.#tunnels.set(socket, tunnel);
  }

  known(socket: Socket): Tunnel | undefined {
    return this.#tunnels.get(socket);
  }

  /** Serves a tunnel without TLS. */
  enter(socket: Socket, tunnel: Tunnel, start: RecordStart): void {
    socket.once('close', () => {
      if (!tunnel.used) this.unused(tunnel, start);
    });
    this.#tunnels.set(socket, tunnel);
    this.#inner.emit('connection', socket);
  }

  /** Serves a tunnel once the client has proved to speak TLS in it. */
  enterSecure(secure: TLSSocket, tunnel: Tunnel, start: RecordStart): void {
    // An empty name is none: it is answered for the host of the CONNECT, and Host is checked all the same.
    const name = secure.servername;
    if (name && name.toLowerCase().replace(/\.$/, '') !== tunnel.host) {
      tunnel.used = true;
      const message = `TLS must name ${tunnel.host}, for which this tunnel was opened.`;
      const refusal = malformed('tls.name', message, 421);
      recordRefusal(this.#parts, start, refusal);
      return void secure.end(rawRefusal(refusal));
    }
    if (secure.alpnProtocol === 'h2') this.#enterHttp2(secure, tunnel, start);
    else this.enter(secure, tunnel, start);
  }

  /** A tunnel that was opened and through which nothing was asked. */
  unused(tunnel: Tunnel, start: RecordStart): void {
    this.#parts.recorder.add({
      ...start,
      status: 200,
      bytesUp: 0,
      bytesDown: 0,
      durationMs: this.#parts.now() - start.at.getTime(),
      credential: null,
      decision: 'allowed',
      rule: 'tunnel.unused',
    });
    tunnel.used = true;
  }

  #enterHttp2(secure: TLSSocket, tunnel: Tunnel, start: RecordStart): void {
    const parts = this.#parts;
    secure.once('close', () => {
      if (!tunnel.used) this.unused(tunnel, start);
    });
    const { session, host, port, scheme } = tunnel;
    const refused = (refusal: Refusal, method: string) => {
      tunnel.used = true;
      recordRefusal(parts, startOf(parts, tunnel, method), refusal);
    };
    serveHttp2(secure, {
      request: (request, response, url) => {
        tunnel.used = true;
        // Each stream stands for itself: what is wrong with one says nothing of the next.
        return serveRequest(parts, newTunnel(session, host, port, scheme), request, response, url);
      },
      refused: (refusal, response, method) => {
        refused(refusal, method);
        answerRefusal(response, refusal);
      },
      broken: (why) => refused(malformed('http.malformed', `This is not proper HTTP/2: ${why}.`), '?'),
    });
  }

  #parserError(error: NodeJS.ErrnoException, socket: Socket): void {
    const tunnel = this.#tunnels.get(socket);
    if (error.code === 'ECONNRESET' || !socket.writable || !tunnel) return void socket.destroy();
    const refusal =
      error.code === 'HPE_HEADER_OVERFLOW'
        ? malformed('http.headers', 'The head of the request is too large.', 431)
        : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
          ? malformed('http.timeout', 'The head of the request took too long.', 408)
          : malformed('http.malformed', 'This is not a proper HTTP/1.1 request.');
    this.#unreadable(socket, refusal);
  }

  /** Ends a connection on which what comes is no request. A body that is on its way out is cut, and answered for. */
  #unreadable(socket: Socket, refusal: Refusal, request?: IncomingMessage): void {
    const tunnel = this.#tunnels.get(socket);
    if (!tunnel) return void socket.destroy();
    tunnel.poisoned = true;
    if (tunnel.cut) {
      tunnel.cut(new RefusedError(refusal));
      return;
    }
    tunnel.used = true;
    recordRefusal(this.#parts, startOf(this.#parts, tunnel, request?.method ?? '?'), refusal);
    // In the middle of an answer there is no place for another.
    if (tunnel.active > 0) socket.destroy();
    else socket.end(rawRefusal(refusal));
  }
}

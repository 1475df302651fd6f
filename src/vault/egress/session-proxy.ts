import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createNetServer, type Server as NetServer, type Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { checkConnect, nameRefusal } from './connect-gate.ts';
import { serveDns } from './dns-door.ts';
import { handshake } from './handshake.ts';
import { parseAuthority } from './host-names.ts';
import { answerRefusal, type EgressParts, type RecordStart, recordRefusal } from './parts.ts';
import type { ListenerHandle, ListenerRole } from './protocol.ts';
import type { ProxySession } from './proxy-session.ts';
import { failed, malformed, type Refusal, RefusedError, rawRefusal } from './refusal.ts';
import { serveRequest, serveUpgrade, type Tunnel } from './session-door.ts';
import { decideDestination } from './session-policy.ts';
import { acceptTls } from './transparent-tls.ts';

const serverOptions = {
  headersTimeout: 15_000,
  // A push may take as long as it takes; what stalls is seen by the upstream.
  requestTimeout: 0,
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 5_000,
  maxHeaderSize: 16 * 1024,
  insecureHTTPParser: false,
  noDelay: true,
} as const;

/**
 * The proxy that sessions speak to. A listener belongs to one session, and that is who asks: there is nothing to
 * present and nothing to steal.
 */
export class SessionProxy {
  readonly #parts: EgressParts;
  /** Speaks HTTP inside tunnels; never listens itself. */
  readonly #inner: Server;
  readonly #tunnels = new WeakMap<Socket, Tunnel>();

  constructor(parts: EgressParts) {
    this.#parts = parts;
    this.#inner = createServer(serverOptions);
    this.#inner.maxHeadersCount = 0;
    this.#onRequests(this.#inner, (request, response) => {
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

  /** Serves a listener of this session; resolves when connections are accepted. */
  serve(session: ProxySession, handle: ListenerHandle, role: ListenerRole): Promise<void> {
    if (role === 'dns') return serveDns(this.#parts, session, handle);
    if (role === 'https') {
      const server = createNetServer({ noDelay: true }, (socket) => this.#transparentTls(session, socket));
      session.addCloser(() => server.close());
      return listen(server, handle);
    }
    const server = createServer(serverOptions);
    server.maxHeadersCount = 0;
    session.addCloser(() => server.close());
    server.on('connection', (socket: Socket) => {
      socket.on('error', () => {});
      if (!session.admit(socket)) return void socket.destroy();
      socket.setNoDelay(true);
      this.#tunnels.set(socket, this.#tunnel(session, '', 0, 'http'));
    });
    server.on('connect', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      this.#connect(session, request, socket, head).catch((error) => {
        this.#parts.logger.error({ err: error }, 'A CONNECT failed.');
        socket.destroy();
      });
    });
    this.#onRequests(server, (request, response) => this.#plain(session, request, response, role === 'http'));
    return listen(server, handle);
  }

  close(): void {
    this.#inner.close();
  }

  #onRequests(server: Server, serve: (request: IncomingMessage, response: ServerResponse) => unknown): void {
    server.on('request', serve);
    server.on('checkContinue', serve);
    server.on('checkExpectation', serve);
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Socket) =>
      this.#parserError(error, socket),
    );
  }

  #tunnel(session: ProxySession, host: string, port: number, scheme: Tunnel['scheme']): Tunnel {
    return { session, host, port, scheme, used: false, poisoned: false, active: 0, cut: undefined };
  }

  #start(
    { organizationId, sessionId, turnId }: ProxySession,
    method: string,
    host: string,
    port: number,
    scheme: Tunnel['scheme'],
  ): RecordStart {
    const at = new Date(this.#parts.now());
    const whose = { organizationId, sessionId, turnId, installationId: null };
    return { ...whose, at, method, scheme, host, port, path: '' };
  }

  async #connect(
    session: ProxySession,
    request: IncomingMessage,
    socket: Socket,
    head: Buffer,
  ): Promise<void> {
    const named = request.url ?? '';
    const authority = parseAuthority(named);
    const start = authority.ok
      ? this.#start(
          session,
          'CONNECT',
          authority.host,
          authority.port,
          authority.port === 80 ? 'http' : 'https',
        )
      : this.#start(session, 'CONNECT', named, 0, 'https');
    const no = (refusal: Refusal) => {
      socket.end(rawRefusal(refusal));
      recordRefusal(this.#parts, start, refusal);
    };
    if (!authority.ok) return no(nameRefusal(authority.reason, 'CONNECT'));
    const { host, port } = authority;
    const refusal = checkConnect(request, host, port) ?? (await this.#decide(session, host, port));
    if (refusal) return no(refusal);
    const tunnel = this.#tunnel(session, host, port, port === 443 ? 'https' : 'http');
    const context = port === 443 ? await session.authority.contextFor(host) : undefined;
    if (socket.destroyed) return;
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    if (head.byteLength > 0) socket.unshift(head);
    if (!context) {
      socket.once('close', () => {
        if (!tunnel.used) this.#unused(tunnel, start);
      });
      return this.#enter(socket, tunnel);
    }
    handshake(
      socket,
      { secureContext: context },
      {
        secure: (secure) => this.#entered(secure, tunnel, start),
        failed: (why) => {
          if (why === undefined) return this.#unused(tunnel, start);
          tunnel.used = true;
          recordRefusal(this.#parts, start, failed('tls.handshake', why));
        },
      },
    );
  }

  #transparentTls(session: ProxySession, socket: Socket): void {
    socket.on('error', () => {});
    if (!session.admit(socket)) return void socket.destroy();
    const start = this.#start(session, 'CONNECT', '', 443, 'https');
    acceptTls(session, socket, {
      decide: (host) => this.#decide(session, host, 443),
      entered: (secure, host) =>
        this.#entered(secure, this.#tunnel(session, host, 443, 'https'), { ...start, host }),
      refused: (refusal, host) => recordRefusal(this.#parts, { ...start, host }, refusal),
    });
  }

  #entered(secure: TLSSocket, tunnel: Tunnel, start: RecordStart): void {
    // An empty name is none: it is answered for the host of the CONNECT, and Host is checked all the same.
    const name = secure.servername;
    if (name && name.toLowerCase().replace(/\.$/, '') !== tunnel.host) {
      tunnel.used = true;
      const message = `TLS must name ${tunnel.host}, for which this tunnel was opened.`;
      const refusal = malformed('tls.name', message, 421);
      recordRefusal(this.#parts, start, refusal);
      return void secure.end(rawRefusal(refusal));
    }
    secure.once('close', () => {
      if (!tunnel.used) this.#unused(tunnel, start);
    });
    this.#enter(secure, tunnel);
  }

  #enter(socket: Socket, tunnel: Tunnel): void {
    this.#tunnels.set(socket, tunnel);
    this.#inner.emit('connection', socket);
  }

  async #decide(session: ProxySession, host: string, port: number): Promise<Refusal | undefined> {
    if (this.#parts.recorder.full) {
      return failed('record.full', 'Requests cannot be recorded now. Try again later.', 503);
    }
    try {
      const decided = decideDestination(await session.policy(), host, port, this.#parts.rules);
      return decided.ok ? undefined : decided.refusal;
    } catch (error) {
      if (error instanceof RefusedError) return error.refusal;
      throw error;
    }
  }

  /**
   * A plain-http proxy request, `GET http://tagalong.internal/… HTTP/1.1`; or, where clients believe to speak to the
   * host itself, one in the form for that, whose Host says which.
   */
  #plain(
    session: ProxySession,
    request: IncomingMessage,
    response: ServerResponse,
    transparent: boolean,
  ): unknown {
    const sent = request.url ?? '';
    const own = transparent && sent.startsWith('/');
    const url = own ? `http://${request.headers.host ?? ''}${sent}` : sent;
    const match = /^http:\/\/([^/?#]*)(.*)$/is.exec(url);
    const authority = match ? parseAuthority(match[1] ?? '', 80) : undefined;
    const known = this.#tunnels.get(request.socket);
    if (authority?.ok && known) {
      const rest = match?.[2] ?? '';
      const tunnel = Object.assign(known, { host: authority.host, port: authority.port });
      return serveRequest(this.#parts, tunnel, request, response, rest.startsWith('/') ? rest : `/${rest}`);
    }
    const refusal = match
      ? nameRefusal(authority && !authority.ok ? authority.reason : 'malformed', 'request')
      : malformed('proxy.form', 'This is a proxy: use CONNECT for https, or an absolute http URL.');
    const start = this.#start(session, request.method ?? '', match?.[1] ?? '', 0, 'http');
    recordRefusal(this.#parts, start, refusal);
    answerRefusal(response, { ...refusal, close: true });
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
    const { session, host, port, scheme } = tunnel;
    recordRefusal(this.#parts, this.#start(session, request?.method ?? '?', host, port, scheme), refusal);
    // In the middle of an answer there is no place for another.
    if (tunnel.active > 0) socket.destroy();
    else socket.end(rawRefusal(refusal));
  }

  /** A tunnel that was opened and through which nothing was asked. */
  #unused(tunnel: Tunnel, start: RecordStart): void {
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
}

function listen(server: NetServer, handle: ListenerHandle): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(handle, () => {
      server.off('error', reject);
      server.on('error', () => {});
      resolve();
    });
  });
}

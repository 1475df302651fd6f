import type { Socket } from 'node:net';
import { createServer, type Server, type TLSSocket } from 'node:tls';
import type { ClientRequest } from './client-messages.ts';
import { FailedTries } from './failed-tries.ts';
import { serveHttp1 } from './http1-door.ts';
import { endWith } from './last-words.ts';
import { listen } from './listening.ts';
import { type EgressParts, recordRefusal } from './parts.ts';
import type { RemoteListener } from './protocol.ts';
import type { ProxySession } from './proxy-session.ts';
import { malformed, type Refusal, rawRefusal } from './refusal.ts';
import { isToken, readPresented } from './remote-token.ts';
import type { SessionProxy } from './session-proxy.ts';
import { newTunnel, startOf, type Tunnel } from './tunnel.ts';
import { recordUnreadable } from './tunnel-server.ts';

/** Connections of one source that have not said yet whose they are. */
const maxUnknown = 128;

/**
 * The proxy for sandboxes on other machines: TLS with the operator's certificate, and each session's own token in
 * `Proxy-Authorization`. A connection belongs to the session that it named first.
 */
export class RemoteProxy {
  readonly #parts: EgressParts;
  readonly #proxy: SessionProxy;
  readonly #find: (sessionId: string) => Promise<ProxySession | undefined>;
  readonly #server: Server;
  readonly #failed: FailedTries;
  readonly #sockets = new Set<Socket>();
  readonly #unknown = new Map<string, number>();
  /** By the client's address and port: called when it is known whose a connection is. */
  readonly #leaves = new Map<string, () => void>();

  constructor(
    parts: EgressParts,
    proxy: SessionProxy,
    { certificatePem, privateKeyPem }: RemoteListener,
    find: (sessionId: string) => Promise<ProxySession | undefined>,
  ) {
    this.#parts = parts;
    this.#proxy = proxy;
    this.#find = find;
    this.#failed = new FailedTries(parts.now);
    this.#server = createServer({
      cert: certificatePem,
      key: privateKeyPem,
      minVersion: 'TLSv1.2',
      handshakeTimeout: 10_000,
      ALPNProtocols: ['http/1.1'],
      noDelay: true,
      allowHalfOpen: true,
    });
    this.#server.on('connection', (socket: Socket) => this.#count(socket));
    this.#server.on('secureConnection', (socket) => this.#serve(socket));
  }

  /** Resolves with the port when connections are accepted. */
  async listen(host: string, port: number): Promise<number> {
    await listen(this.#server, { host, port });
    const at = this.#server.address();
    return typeof at === 'object' && at ? at.port : port;
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket: TLSSocket): void {
    const parts = this.#parts;
    const proxy = this.#proxy;
    socket.on('error', () => {});
    /** Of the session that the connection belongs to, once it is known. */
    const owner: { tunnel?: Tunnel } = {};
    serveHttp1(socket, {
      idleMs: parts.limits.idleTimeoutSeconds * 1000,
      request: async (request, response) => {
        const tunnel = await this.#authenticate(request, socket, owner);
        if (tunnel) await proxy.plain(tunnel, request, response);
      },
      connect: async (request, inner, head) => {
        const tunnel = await this.#authenticate(request, socket, owner);
        if (tunnel) await proxy.connect(tunnel.session, request, inner, head);
      },
      upgrade: (_request, inner) =>
        endWith(inner, rawRefusal(malformed('proxy.form', 'This is a proxy: use CONNECT.'))),
      unreadable: (refusal) => {
        if (owner.tunnel) recordUnreadable(parts, owner.tunnel, refusal);
        return { answers: owner.tunnel !== undefined };
      },
    });
  }

  /** Whose connection this is; undefined when it is nobody's, which was said. Never rejects. */
  async #authenticate(
    request: ClientRequest,
    socket: Socket,
    owner: { tunnel?: Tunnel },
  ): Promise<Tunnel | undefined> {
    try {
      const presented = readPresented(request.rawHeaders);
      const session = await this.#find(presented?.sessionId ?? '');
      const right = await isToken(session, presented?.token ?? '');
      if (!session || !right || (owner.tunnel && owner.tunnel.session !== session)) {
        this.#refuse(request, socket, session);
        return undefined;
      }
      if (owner.tunnel) return owner.tunnel;
      // Its close was told already.
      if (socket.destroyed) return undefined;
      this.#leaves.get(`${socket.remoteAddress} ${socket.remotePort}`)?.();
      if (!session.admit(socket, true)) return undefined;
      owner.tunnel = newTunnel(session, '', 0, 'http');
      return owner.tunnel;
    } catch (error) {
      this.#parts.logger.error({ err: error }, 'A request to the remote proxy failed.');
      socket.destroy();
      return undefined;
    }
  }

  #refuse(request: ClientRequest, socket: Socket, session: ProxySession | undefined): void {
    const source = socket.remoteAddress ?? '';
    const { tries, tooMany } = this.#failed.note(source);
    const refusal: Refusal = tooMany
      ? {
          ...malformed('proxy.token', 'Too many requests without a valid token. Try again in a minute.', 429),
          retryAfterSeconds: 60,
        }
      : malformed('proxy.token', "The proxy needs the session's own token in Proxy-Authorization.", 407);
    endWith(socket, rawRefusal(refusal));
    // What is known of it is written down, but not without end.
    if (tooMany && tries % 1_000 !== 0) return;
    this.#parts.logger.warn({ source, tries }, 'A request to the remote proxy had no valid token.');
    if (!session) return;
    const nowhere = newTunnel(session, request.url, 0, 'https');
    recordRefusal(this.#parts, startOf(this.#parts, nowhere, request.method), refusal);
  }

  /** Who has not said yet whose it is holds no more than a few connections. */
  #count(socket: Socket): void {
    socket.on('error', () => {});
    const source = socket.remoteAddress ?? '';
    const before = this.#unknown.get(source) ?? 0;
    if (before >= maxUnknown) return void socket.destroy();
    this.#unknown.set(source, before + 1);
    const end = `${source} ${socket.remotePort}`;
    const leave = () => {
      if (!this.#leaves.delete(end)) return;
      const left = (this.#unknown.get(source) ?? 1) - 1;
      if (left > 0) this.#unknown.set(source, left);
      else this.#unknown.delete(source);
    };
    this.#leaves.set(end, leave);
    this.#sockets.add(socket);
    socket.once('close', () => {
      leave();
      this.#sockets.delete(socket);
    });
  }
}

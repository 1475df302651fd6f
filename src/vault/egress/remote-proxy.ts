import type { IncomingMessage } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import { FailedTries } from './failed-tries.ts';
import { listen } from './listening.ts';
import { type EgressParts, recordRefusal } from './parts.ts';
import type { RemoteListener } from './protocol.ts';
import type { ProxySession } from './proxy-session.ts';
import { malformed, type Refusal, rawRefusal } from './refusal.ts';
import { isToken, readPresented } from './remote-token.ts';
import type { SessionProxy } from './session-proxy.ts';
import { newTunnel, startOf } from './tunnel.ts';
import { serverOptions } from './tunnel-server.ts';

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
  readonly #owners = new WeakMap<Socket, ProxySession>();
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
      ...serverOptions,
      cert: certificatePem,
      key: privateKeyPem,
      minVersion: 'TLSv1.2',
      handshakeTimeout: 10_000,
    });
    this.#server.maxHeadersCount = 0;
    this.#server.on('connection', (socket: Socket) => this.#count(socket));
    this.#server.on('secureConnection', (socket: Socket) => socket.on('error', () => {}));
    this.#server.on('connect', (request: IncomingMessage, socket: Socket, head: Buffer) => {
      this.#authenticate(request, socket)
        .then((session) => session && proxy.connect(session, request, socket, head))
        .catch((error) => this.#broken(socket, error));
    });
    this.#server.on('upgrade', (_request: IncomingMessage, socket: Socket) =>
      socket.end(rawRefusal(malformed('proxy.form', 'This is a proxy: use CONNECT.'))),
    );
    proxy.watch(this.#server, (request, response) => {
      this.#authenticate(request, request.socket)
        .then((session) => session && proxy.plain(session, request, response))
        .catch((error) => this.#broken(request.socket, error));
    });
  }

  /** Resolves with the port when connections are accepted. */
  async listen(host: string, port: number): Promise<number> {
    await listen(this.#server, { host, port });
    const at = this.#server.address();
    return typeof at === 'object' && at ? at.port : port;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #authenticate(request: IncomingMessage, socket: Socket): Promise<ProxySession | undefined> {
    const presented = readPresented(request.rawHeaders);
    const session = await this.#find(presented?.sessionId ?? '');
    const owner = this.#owners.get(socket);
    const right = await isToken(session, presented?.token ?? '');
    if (!session || !right || (owner && owner !== session)) {
      this.#refuse(request, socket, session);
      return undefined;
    }
    if (owner) return session;
    if (!this.#proxy.accept(session, socket)) return undefined;
    this.#owners.set(socket, session);
    this.#leaves.get(`${socket.remoteAddress} ${socket.remotePort}`)?.();
    return session;
  }

  #refuse(request: IncomingMessage, socket: Socket, session: ProxySession | undefined): void {
    const source = socket.remoteAddress ?? '';
    const { tries, tooMany } = this.#failed.note(source);
    const refusal: Refusal = tooMany
      ? {
          ...malformed('proxy.token', 'Too many requests without a valid token. Try again in a minute.', 429),
          retryAfterSeconds: 60,
        }
      : malformed('proxy.token', "The proxy needs the session's own token in Proxy-Authorization.", 407);
    socket.end(rawRefusal(refusal));
    // What is known of it is written down, but not without end.
    if (tooMany && tries % 1_000 !== 0) return;
    this.#parts.logger.warn({ source, tries }, 'A request to the remote proxy had no valid token.');
    if (!session) return;
    const nowhere = newTunnel(session, request.url ?? '', 0, 'https');
    recordRefusal(this.#parts, startOf(this.#parts, nowhere, request.method ?? ''), refusal);
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
    socket.once('close', leave);
  }

  #broken(socket: Socket, error: unknown): void {
    this.#parts.logger.error({ err: error }, 'A request to the remote proxy failed.');
    socket.destroy();
  }
}

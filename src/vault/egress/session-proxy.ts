import { createServer, type Socket } from 'node:net';
import type { ClientRequest, ClientResponse } from './client-messages.ts';
import { checkConnect, nameRefusal } from './connect-gate.ts';
import { serveDns } from './dns-door.ts';
import { costs } from './fair-queue.ts';
import { handshake } from './handshake.ts';
import { parseAuthority } from './host-names.ts';
import { serveHttp1 } from './http1-door.ts';
import { headerValues } from './http1-head.ts';
import { endWith } from './last-words.ts';
import { listen } from './listening.ts';
import { answerRefusal, type EgressParts, recordRefusal, requireRecorder } from './parts.ts';
import { passThrough, passThroughTransparent } from './passthrough.ts';
import type { ListenerHandle, ListenerRole } from './protocol.ts';
import type { ProxySession } from './proxy-session.ts';
import { failed, malformed, type Refusal, RefusedError, rawRefusal } from './refusal.ts';
import { serveRequest } from './session-door.ts';
import { type DestinationResult, decideDestination } from './session-policy.ts';
import { acceptTls } from './transparent-tls.ts';
import { newTunnel, startOf, type Tunnel } from './tunnel.ts';
import { enterSecureTunnel, enterTunnel, recordUnreadable, recordUnused } from './tunnel-server.ts';

const unreadableHello = (host: string) =>
  `${host} is passed through, for which the TLS client hello must name it plainly and once.`;

/**
 * The proxy that sessions speak to. A listener belongs to one session, and that is who asks: there is nothing to
 * present and nothing to steal.
 */
export class SessionProxy {
  readonly #parts: EgressParts;

  constructor(parts: EgressParts) {
    this.#parts = parts;
  }

  /** Serves a listener of this session; resolves when connections are accepted. */
  serve(session: ProxySession, handle: ListenerHandle, role: ListenerRole): Promise<void> {
    if (role === 'dns') return serveDns(this.#parts, session, handle);
    const accept =
      role === 'https'
        ? (socket: Socket) => this.#transparentTls(session, socket)
        : (socket: Socket) => this.#accept(session, socket, role === 'http');
    const server = createServer({ noDelay: true, allowHalfOpen: role !== 'https' }, accept);
    session.addCloser(() => server.close());
    return listen(server, handle);
  }

  #accept(session: ProxySession, socket: Socket, isTransparent: boolean): void {
    socket.on('error', () => {});
    if (!session.admit(socket, true)) return;
    const tunnel = newTunnel(session, '', 0, 'http');
    serveHttp1(socket, {
      idleMs: this.#parts.limits.idleTimeoutSeconds * 1000,
      request: (request, response) => this.plain(tunnel, request, response, isTransparent),
      connect: (request, inner, head) => this.connect(session, request, inner, head),
      unreadable: (refusal) => {
        recordUnreadable(this.#parts, tunnel, refusal);
        return { answers: true };
      },
    });
  }

  /** Opens a tunnel, or says why not. Never rejects. */
  connect(session: ProxySession, request: ClientRequest, socket: Socket, head: Buffer): Promise<void> {
    return this.#connect(session, request, socket, head).catch((error) => {
      this.#parts.logger.error({ err: error }, 'A CONNECT failed.');
      socket.destroy();
    });
  }

  async #connect(session: ProxySession, request: ClientRequest, socket: Socket, head: Buffer): Promise<void> {
    const parts = this.#parts;
    const named = request.url;
    const authority = parseAuthority(named);
    const tunnel = authority.ok
      ? newTunnel(session, authority.host, authority.port, authority.port === 80 ? 'http' : 'https')
      : newTunnel(session, named, 0, 'https');
    const start = startOf(parts, tunnel, 'CONNECT');
    const no = (refusal: Refusal) => {
      endWith(socket, rawRefusal(refusal));
      recordRefusal(parts, start, refusal);
    };
    if (!authority.ok) return no(nameRefusal(authority.reason, 'CONNECT'));
    const { host, port } = authority;
    const wrong = checkConnect(request, host, port);
    if (wrong) return no(wrong);
    const decided = await this.#decide(session, host, port);
    if (!decided.ok) return no(decided.refusal);
    if (decided.destination.kind === 'opaque') {
      return passThrough(parts, tunnel, decided.destination.rule, start, socket, head);
    }
    const turn = port === 80 ? undefined : session.lane.take(costs.handshake);
    if (turn) await turn;
    if (socket.destroyed) return;
    const context = port === 80 ? undefined : await session.authority.contextFor(host);
    if (socket.destroyed) return;
    socket.write('HTTP/1.1 200 Connection Established\r\n\r\n');
    if (head.byteLength > 0) socket.unshift(head);
    if (!context) return enterTunnel(parts, socket, tunnel, start);
    handshake(
      socket,
      { secureContext: context },
      {
        secure: (secure) => enterSecureTunnel(parts, secure, tunnel, start),
        failed: (why) => {
          if (why === undefined) return recordUnused(parts, tunnel, start);
          tunnel.used = true;
          recordRefusal(parts, start, failed('tls.handshake', why));
        },
      },
    );
  }

  #transparentTls(session: ProxySession, socket: Socket): void {
    const parts = this.#parts;
    socket.on('error', () => {});
    if (!session.admit(socket, false)) return;
    const at = (host: string) => newTunnel(session, host, 443, 'https');
    const start = startOf(parts, at(''), 'CONNECT');
    const accept = () =>
      acceptTls(session, socket, {
        decide: async (host) => {
          const decided = await this.#decide(session, host, 443);
          if (!decided.ok) return decided.refusal;
          const isOpaque = decided.destination.kind === 'opaque';
          return isOpaque ? malformed('tls.name', unreadableHello(host), 421) : undefined;
        },
        entered: (secure, host) => enterSecureTunnel(parts, secure, at(host), { ...start, host }),
        refused: (refusal, host) => recordRefusal(parts, { ...start, host }, refusal),
      });
    passThroughTransparent(parts, session, start, socket).then(
      (passed) => {
        if (!passed) accept();
      },
      (error) => {
        parts.logger.error({ err: error }, 'A connection could not be passed through.');
        socket.destroy();
      },
    );
  }

  async #decide(session: ProxySession, host: string, port: number): Promise<DestinationResult> {
    try {
      requireRecorder(this.#parts);
      return decideDestination(await session.policy(), host, port, this.#parts.rules);
    } catch (error) {
      if (error instanceof RefusedError) return { ok: false, refusal: error.refusal };
      throw error;
    }
  }

  /**
   * A plain-http proxy request, `GET http://tagalong.internal/… HTTP/1.1`; or, where clients believe to speak to the
   * host itself, one in the form for that, whose Host says which.
   */
  plain(tunnel: Tunnel, request: ClientRequest, response: ClientResponse, isTransparent = false): unknown {
    const { session } = tunnel;
    const sent = request.url;
    const own = isTransparent && sent.startsWith('/');
    const url = own ? `http://${headerValues(request.rawHeaders, 'host')[0] ?? ''}${sent}` : sent;
    const match = /^http:\/\/([^/?#]*)(.*)$/is.exec(url);
    const authority = match ? parseAuthority(match[1] ?? '', 80) : undefined;
    if (authority?.ok) {
      const rest = match?.[2] ?? '';
      Object.assign(tunnel, { host: authority.host, port: authority.port });
      const asked = { ...request, url: rest.startsWith('/') ? rest : `/${rest}` };
      return serveRequest(this.#parts, tunnel, asked, response);
    }
    const refusal = match
      ? nameRefusal(authority?.reason ?? 'malformed', 'request')
      : malformed('proxy.form', 'This is a proxy: use CONNECT for https, or an absolute http URL.');
    const nowhere = newTunnel(session, match?.[1] ?? '', 0, 'http');
    recordRefusal(this.#parts, startOf(this.#parts, nowhere, request.method), refusal);
    answerRefusal(response, { ...refusal, close: true });
  }
}

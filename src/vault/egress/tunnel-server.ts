import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { serveHttp1 } from './http1-door.ts';
import { serveHttp2 } from './http2-door.ts';
import { endWith } from './last-words.ts';
import { answerRefusal, type EgressParts, type RecordStart, recordRefusal } from './parts.ts';
import { malformed, type Refusal, rawRefusal } from './refusal.ts';
import { serveRequest, serveUpgrade } from './session-door.ts';
import { newTunnel, startOf, type Tunnel } from './tunnel.ts';

/** Serves a tunnel without TLS. */
export function enterTunnel(parts: EgressParts, socket: Socket, tunnel: Tunnel, start: RecordStart): void {
  socket.once('close', () => {
    if (!tunnel.used) recordUnused(parts, tunnel, start);
  });
  serveHttp1(socket, {
    idleMs: parts.limits.idleTimeoutSeconds * 1000,
    request: (request, response) => serveRequest(parts, tunnel, request, response),
    connect: (request, inner) => {
      const refusal = malformed('http.method', 'CONNECT inside a tunnel is not passed on.', 405);
      recordUnreadable(parts, tunnel, refusal, request.method);
      endWith(inner, rawRefusal(refusal));
    },
    upgrade: (request, inner, head) => {
      inner.on('error', () => {});
      return serveUpgrade(parts, tunnel, request, inner, head);
    },
    unreadable: (refusal) => {
      recordUnreadable(parts, tunnel, refusal);
      return { answers: true };
    },
  });
}

/** Serves a tunnel once the client has proved to speak TLS in it, HTTP/1.1 or HTTP/2 as TLS has agreed. */
export function enterSecureTunnel(
  parts: EgressParts,
  secure: TLSSocket,
  tunnel: Tunnel,
  start: RecordStart,
): void {
  // An empty name is none: it is answered for the host of the CONNECT, and Host is checked all the same.
  const name = secure.servername;
  if (name && name.toLowerCase().replace(/\.$/, '') !== tunnel.host) {
    tunnel.used = true;
    const message = `TLS must name ${tunnel.host}, for which this tunnel was opened.`;
    const refusal = malformed('tls.name', message, 421);
    recordRefusal(parts, start, refusal);
    return void endWith(secure, rawRefusal(refusal));
  }
  if (secure.alpnProtocol === 'h2') enterHttp2(parts, secure, tunnel, start);
  else enterTunnel(parts, secure, tunnel, start);
}

/** A tunnel that was opened and through which nothing was asked. */
export function recordUnused(parts: EgressParts, tunnel: Tunnel, start: RecordStart): void {
  parts.recorder.add({
    ...start,
    status: 200,
    bytesUp: 0,
    bytesDown: 0,
    durationMs: parts.now() - start.at.getTime(),
    credential: null,
    decision: 'allowed',
    rule: 'tunnel.unused',
  });
  tunnel.used = true;
}

/** What came through a tunnel was no request. */
export function recordUnreadable(parts: EgressParts, tunnel: Tunnel, refusal: Refusal, method = '?'): void {
  tunnel.used = true;
  recordRefusal(parts, startOf(parts, tunnel, method), refusal);
}

function enterHttp2(parts: EgressParts, secure: TLSSocket, tunnel: Tunnel, start: RecordStart): void {
  secure.once('close', () => {
    if (!tunnel.used) recordUnused(parts, tunnel, start);
  });
  const { session, host, port, scheme } = tunnel;
  serveHttp2(secure, {
    request: (request, response) => {
      tunnel.used = true;
      // Each stream stands for itself: what is wrong with one says nothing of the next.
      return serveRequest(parts, newTunnel(session, host, port, scheme), request, response);
    },
    refused: (refusal, response, method) => {
      recordUnreadable(parts, tunnel, refusal, method);
      answerRefusal(response, refusal);
    },
    broken: (why) =>
      recordUnreadable(parts, tunnel, malformed('http.malformed', `This is not proper HTTP/2: ${why}.`)),
  });
}

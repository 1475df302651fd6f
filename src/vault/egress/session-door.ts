import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { type Asking, framed, streamed } from './asking.ts';
import { incomingBody } from './bodies.ts';
import { gitPassage } from './git-passage.ts';
import { forwardedRequestHeaders, withHeader } from './header-rules.ts';
import { listedPassage } from './listed-passage.ts';
import { modelPassage } from './model-passage.ts';
import { answerRefusal, type EgressParts, type RecordStart, recordRefusal } from './parts.ts';
import { type PassageResult, passOn } from './pass-on.ts';
import { privateHeaders } from './protocol.ts';
import { providerPassage } from './provider-passage.ts';
import type { ProxySession } from './proxy-session.ts';
import { failed, type Refusal, RefusedError, rawRefusal, refuse } from './refusal.ts';
import { checkRequest } from './request-gate.ts';
import { decideDestination } from './session-policy.ts';
import { isWebSocketRequest, relayWebSocket, webSocketHeaders } from './websocket.ts';

/** Where a session's connection leads: fixed when it was opened, and checked on every request in it. */
export interface Tunnel {
  session: ProxySession;
  host: string;
  port: number;
  scheme: 'http' | 'https';
  /** Whether a request came through it. */
  used: boolean;
  /** What follows cannot be trusted to be a request. */
  poisoned: boolean;
  /** Requests that are being answered. */
  active: number;
  /** Ends the body that is coming in, when the parser finds it broken; undefined while none is. */
  cut: ((error: RefusedError) => void) | undefined;
}

/** Serves one request of a session: gate, policy, credential, upstream, record. Never rejects. */
export async function serveRequest(
  parts: EgressParts,
  tunnel: Tunnel,
  incoming: IncomingMessage,
  response: ServerResponse,
  url: string,
): Promise<void> {
  const { session, host, port } = tunnel;
  tunnel.used = true;
  tunnel.active += 1;
  const method = incoming.method ?? '';
  const start = startOf(parts, tunnel, method, url);
  let done = () => {};
  try {
    if (tunnel.poisoned) {
      response.destroy();
      return;
    }
    const { httpVersion, rawHeaders } = incoming;
    const gate = checkRequest({ method, url, httpVersion, rawHeaders }, host, port);
    if (!gate.ok) throw new RefusedError(gate.refusal);
    if (parts.recorder.full) {
      throw new RefusedError(failed('record.full', 'Requests cannot be recorded now. Try again later.', 503));
    }
    const body = incomingBody(incoming);
    if (gate.request.body.framing !== 'none') {
      const cut = (error: RefusedError) => body.cut(error);
      tunnel.cut = cut;
      done = () => {
        if (tunnel.cut === cut) tunnel.cut = undefined;
      };
      incoming.once('end', done);
    }
    let told = !gate.request.expectsContinue;
    const result = await allow(
      {
        parts,
        session,
        policy: await session.policy(),
        host,
        request: gate.request,
        sent: rawHeaders,
        headers: forwardedRequestHeaders(rawHeaders),
        body,
        wantBody: () => {
          if (!told) response.writeContinue();
          told = true;
        },
      },
      port,
    );
    if (!result.ok) throw new RefusedError(result.refusal);
    await passOn(parts, start, session.pools, result.passage, response);
  } catch (error) {
    const refusal = refusalOf(parts, error);
    if (refusal.close) tunnel.poisoned = true;
    answerRefusal(response, refusal);
    recordRefusal(parts, start, refusal);
  } finally {
    done();
    tunnel.active -= 1;
  }
}

/** Serves a request that asks for another protocol on its connection. Never rejects. */
export async function serveUpgrade(
  parts: EgressParts,
  tunnel: Tunnel,
  incoming: IncomingMessage,
  socket: Socket,
  head: Buffer,
): Promise<void> {
  const { session, host, port } = tunnel;
  const { method = '', url = '', httpVersion, rawHeaders } = incoming;
  tunnel.used = true;
  // Whatever comes after it is no request any more.
  tunnel.poisoned = true;
  const start = startOf(parts, tunnel, method, url);
  try {
    const asked = { method, url, httpVersion, rawHeaders };
    const gate = checkRequest(asked, host, port, isWebSocketRequest(asked));
    if (!gate.ok) throw new RefusedError(gate.refusal);
    if (parts.recorder.full) {
      throw new RefusedError(failed('record.full', 'Requests cannot be recorded now. Try again later.', 503));
    }
    const policy = await session.policy();
    const decided = decideDestination(policy, host, port, parts.rules);
    if (!decided.ok) throw new RefusedError(decided.refusal);
    if (decided.destination.kind !== 'listed') {
      throw new RefusedError(refuse('http.upgrade', `${host} is not spoken to by WebSocket here.`, 501));
    }
    const result = await listedPassage(
      {
        ...{ parts, session, policy, host, request: gate.request, body: incomingBody(incoming) },
        sent: rawHeaders,
        headers: webSocketHeaders(rawHeaders, host),
        wantBody: () => {},
      },
      decided.destination.rule,
    );
    if (!result.ok) throw new RefusedError(result.refusal);
    await relayWebSocket(parts, start, session.pools, result.passage, socket, head);
  } catch (error) {
    const refusal = refusalOf(parts, error);
    socket.end(rawRefusal(refusal));
    recordRefusal(parts, start, refusal);
  }
}

function startOf(
  parts: EgressParts,
  { session, host, port, scheme }: Tunnel,
  method: string,
  url: string,
): RecordStart {
  const { organizationId, sessionId, turnId } = session;
  const whose = { organizationId, sessionId, turnId, installationId: null };
  const path = url.split('?', 1)[0] ?? '';
  return { ...whose, at: new Date(parts.now()), method, scheme, host, port, path };
}

function refusalOf(parts: EgressParts, error: unknown): Refusal {
  if (error instanceof RefusedError) return error.refusal;
  parts.logger.error({ err: error }, 'A request of a session failed.');
  return failed('egress.error', 'The egress process failed.', 500);
}

async function allow(asking: Asking, port: number): Promise<PassageResult> {
  const { parts, policy, host } = asking;
  const decided = decideDestination(policy, host, port, parts.rules);
  if (!decided.ok) return decided;
  const { destination } = decided;
  switch (destination.kind) {
    case 'internal':
      return internalPassage(asking);
    case 'model':
      return modelPassage(asking, destination.model);
    case 'provider':
      return providerPassage(asking, destination.provider);
    case 'git':
      return gitPassage(asking);
    case 'listed':
      return listedPassage(asking, destination.rule);
  }
}

function internalPassage(asking: Asking): PassageResult {
  const { parts, session, request } = asking;
  return {
    ok: true,
    passage: {
      rule: 'internal',
      credential: null,
      method: request.method,
      route: {
        kind: 'socket',
        socketPath: parts.internalSocket,
        path: request.target.path + request.target.search,
      },
      headers: withHeader(framed(asking), privateHeaders.session, session.sessionId),
      body: streamed(asking),
    },
  };
}

import type { Socket } from 'node:net';
import type { EgressLimits } from '../../config.ts';
import { type Asking, framed, streamed } from './asking.ts';
import type { ClientRequest, ClientResponse } from './client-messages.ts';
import { costs } from './fair-queue.ts';
import { gitPassage } from './git-passage.ts';
import { forwardedRequestHeaders, withHeader } from './header-rules.ts';
import { overHttp2, wantsHttp2 } from './http2-upstream.ts';
import { endWith } from './last-words.ts';
import { listedPassage } from './listed-passage.ts';
import { modelPassage } from './model-passage.ts';
import {
  answerRefusal,
  type EgressParts,
  type RecordStart,
  recordRefusal,
  requireRecorder,
} from './parts.ts';
import { type PassageResult, passOn } from './pass-on.ts';
import { privateHeaders } from './protocol.ts';
import { providerPassage } from './provider-passage.ts';
import { failed, type Refusal, RefusedError, rawRefusal, refuse } from './refusal.ts';
import { decideRequest } from './request-decision.ts';
import { checkRequest } from './request-gate.ts';
import { startOf, type Tunnel } from './tunnel.ts';
import type { Silence } from './upstream-failure.ts';
import { isWebSocketRequest, relayWebSocket, webSocketHeaders } from './websocket.ts';

/** Serves one request of a session: gate, policy, credential, upstream, record. Never rejects. */
export async function serveRequest(
  parts: EgressParts,
  tunnel: Tunnel,
  incoming: ClientRequest,
  response: ClientResponse,
): Promise<void> {
  const { session, host, port } = tunnel;
  const { method, url, httpVersion, rawHeaders, body } = incoming;
  tunnel.used = true;
  const start = startOf(parts, tunnel, method, url);
  const over = session.limits.enter();
  if (over && session.lane.isCrowded) {
    recordOver(parts, tunnel, start, over);
    return void response.destroy();
  }
  const turn = session.lane.take(costs.request);
  if (turn) await turn;
  if (over) {
    answerRefusal(response, over);
    recordOver(parts, tunnel, start, over);
    return;
  }
  try {
    const gate = checkRequest({ method, url, httpVersion, rawHeaders }, host, port);
    if (!gate.ok) throw new RefusedError(gate.refusal);
    requireRecorder(parts);
    let told = !gate.request.expectsContinue;
    const result = await allow({
      parts,
      session,
      policy: await session.policy(),
      host,
      port,
      request: gate.request,
      sent: rawHeaders,
      headers: forwardedRequestHeaders(rawHeaders),
      body,
      wantBody: () => {
        if (!told) response.writeContinue();
        told = true;
      },
    });
    if (!result.ok) throw new RefusedError(result.refusal);
    const passage = wantsHttp2(rawHeaders) ? overHttp2(result.passage) : result.passage;
    const silence = passage.isPatient ? undefined : silenceOf(parts.limits);
    const letGo = session.budget.hold(Buffer.isBuffer(passage.body) ? passage.body.byteLength : 0);
    try {
      const answered = () => {
        letGo();
        passage.answered?.();
      };
      await passOn(parts, start, session.pools, { ...passage, answered }, response, silence);
    } finally {
      letGo();
    }
  } catch (error) {
    const refusal = refusalOf(parts, error);
    answerRefusal(response, refusal);
    recordRefusal(parts, start, refusal);
  } finally {
    session.limits.leave();
  }
}

/** Serves a request that asks for another protocol on its connection. Never rejects. */
export async function serveUpgrade(
  parts: EgressParts,
  tunnel: Tunnel,
  incoming: ClientRequest,
  socket: Socket,
  head: Buffer,
): Promise<void> {
  const { session, host, port } = tunnel;
  const { method, url, httpVersion, rawHeaders, body } = incoming;
  tunnel.used = true;
  const start = startOf(parts, tunnel, method, url);
  const over = session.limits.enter();
  const turn = session.lane.take(costs.request);
  if (turn) await turn;
  if (over) {
    endWith(socket, rawRefusal(over));
    recordOver(parts, tunnel, start, over);
    return;
  }
  try {
    const asked = { method, url, httpVersion, rawHeaders };
    const gate = checkRequest(asked, host, port, isWebSocketRequest(asked));
    if (!gate.ok) throw new RefusedError(gate.refusal);
    requireRecorder(parts);
    const policy = await session.policy();
    const decided = decideRequest(policy, host, port, gate.request.target.path, parts.rules);
    if (!decided.ok) throw new RefusedError(decided.refusal);
    if (decided.destination.kind !== 'listed' || decided.destination.readOnly) {
      throw new RefusedError(
        refuse(
          'http.upgrade',
          `${host} is not spoken to by WebSocket here: that is for hosts on the list of allowed hosts.`,
          501,
        ),
      );
    }
    const result = await listedPassage(
      {
        ...{ parts, session, policy, host, port, request: gate.request, body },
        sent: rawHeaders,
        headers: webSocketHeaders(rawHeaders, port === 443 ? host : `${host}:${port}`),
        wantBody: () => {},
      },
      decided.destination,
    );
    if (!result.ok) throw new RefusedError(result.refusal);
    await relayWebSocket(parts, start, session.pools, result.passage, socket, head);
  } catch (error) {
    const refusal = refusalOf(parts, error);
    endWith(socket, rawRefusal(refusal));
    recordRefusal(parts, start, refusal);
  } finally {
    session.limits.leave();
  }
}

/** What is beyond a limit is recorded once per second. */
function recordOver(parts: EgressParts, { session }: Tunnel, start: RecordStart, over: Refusal): void {
  if (session.limits.isNotable(over)) recordRefusal(parts, start, over);
}

function refusalOf(parts: EgressParts, error: unknown): Refusal {
  if (error instanceof RefusedError) return error.refusal;
  parts.logger.error({ err: error }, 'A request of a session failed.');
  return failed('egress.error', 'The egress process failed.', 500);
}

async function allow(asking: Asking): Promise<PassageResult> {
  const { parts, policy, host, port, request } = asking;
  const decided = decideRequest(policy, host, port, request.target.path, parts.rules);
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
      return listedPassage(asking, destination);
    case 'opaque':
      return {
        ok: false,
        refusal: refuse(
          'host.passthrough',
          `${host} is passed through as it is: open a new connection to it.`,
        ),
      };
  }
}

function silenceOf({ firstByteTimeoutSeconds, idleTimeoutSeconds }: EgressLimits): Silence {
  return { firstByteMs: firstByteTimeoutSeconds * 1000, idleMs: idleTimeoutSeconds * 1000 };
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
      isPatient: true,
      body: streamed(asking),
      // What a tool read is on record by now.
      answered: () => session.forgetPolicy(),
    },
  };
}

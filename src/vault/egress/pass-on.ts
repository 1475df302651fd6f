import type { Readable } from 'node:stream';
import type { ClientResponse } from './client-messages.ts';
import { type AnswerReader, forward } from './forward.ts';
import { withHeader } from './header-rules.ts';
import type { Hold } from './held-answer.ts';
import { headerValues } from './http1-head.ts';
import type { UpstreamRequest } from './http1-outgoing.ts';
import type { ModelUsage } from './model-usage.ts';
import { answerRefusal, type EgressParts, type RecordStart, recordRefusal } from './parts.ts';
import { failed, type Refusal } from './refusal.ts';
import type { Silence } from './upstream-failure.ts';
import type { UpstreamPools } from './upstream-pools.ts';
import type { Route } from './upstreams.ts';

/** A request that may go out, with everything that is put on. */
export interface Passage {
  rule: string;
  /** The display name of the credential that is put on. */
  credential: string | null;
  method: string;
  route: Route;
  /** Whether the upstream is asked over HTTP/2, where it speaks that; false by default, since it is slower. */
  http2?: boolean;
  headers: string[];
  body: Readable | Buffer | null;
  /** What goes after a body that is passed on as it comes; judged then. Left out: nothing. */
  trailers?: UpstreamRequest['trailers'];
  /** Reads along what comes back. */
  reader?: AnswerReader & { usage?: ModelUsage };
  /** Called when an answer comes, before anything of it is passed on. */
  answered?: () => void;
  /** Holds the answer back until it was judged. */
  hold?: Hold;
  /** Models and our own tools may be silent for long. */
  isPatient?: boolean;
  /** What is put on and must not come back. */
  secrets?: readonly string[];
  /** The same headers with a new token, after the upstream refused the first. Only where the body can be sent again. */
  renew?: () => Promise<{ headers: string[]; secrets: readonly string[] }>;
}

export type PassageResult = { ok: true; passage: Passage } | { ok: false; refusal: Refusal };

/** Passes one request on, asks once more with a new token where that can help, answers, and records it. */
export async function passOn(
  parts: EgressParts,
  start: RecordStart,
  pools: UpstreamPools,
  passage: Passage,
  response: ClientResponse,
  silence?: Silence,
): Promise<void> {
  const { method, body, route, renew } = passage;
  let redaction = parts.redactions.for(passage.secrets ?? []);
  const ask = (headers: string[], discard?: typeof refusesToken) =>
    forward({
      upstream: pools.for(route, passage.http2),
      method,
      path: route.path,
      body,
      trailers: passage.trailers,
      response,
      reader: passage.reader,
      silence,
      budget: parts.budget,
      lane: pools.lane,
      answered: passage.answered,
      hold: passage.hold,
      redaction,
      // What is compressed could not be searched or judged.
      headers:
        redaction.active || passage.hold ? withHeader(headers, 'accept-encoding', 'identity') : headers,
      discard,
    });
  let result = await ask(passage.headers, renew && refusesToken);
  if (result.outcome === 'discarded' && renew) {
    const renewed = await renew();
    redaction = parts.redactions.for([...(passage.secrets ?? []), ...renewed.secrets]);
    result = await ask(renewed.headers);
  }
  const refusal =
    result.outcome === 'failed'
      ? (result.refusal ?? failed('upstream.broken', 'The connection to the upstream broke.'))
      : undefined;
  if (refusal) {
    answerRefusal(response, refusal);
    recordRefusal(parts, start, refusal, passage.credential ?? undefined);
    return;
  }
  parts.recorder.add({
    ...start,
    status: result.status ?? null,
    bytesUp: result.bytesUp,
    bytesDown: result.bytesDown,
    durationMs: parts.now() - start.at.getTime(),
    credential: passage.credential,
    decision: result.outcome === 'cut' ? 'failed' : 'allowed',
    ...(passage.reader?.usage ? { usage: passage.reader.usage } : {}),
    rule: `${passage.rule}${result.cutBy ? ` cut:${result.cutBy}` : ''}${redaction.hits > 0 ? ` redacted:${redaction.hits}` : ''}`,
  });
}

/** Whether an upstream's answer says that the token is no good: a 401, or a 403 that says so (RFC 6750, section 3.1). */
function refusesToken(status: number, rawHeaders: readonly string[]): boolean {
  if (status === 401) return true;
  const challenges = headerValues(rawHeaders, 'www-authenticate');
  return (
    status === 403 && challenges.some((value) => /\berror="?(?:invalid_token|expired_token)\b/i.test(value))
  );
}

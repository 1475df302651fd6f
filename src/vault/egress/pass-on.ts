import type { ServerResponse } from 'node:http';
import type { Readable } from 'node:stream';
import { forward } from './forward.ts';
import { withHeader } from './header-rules.ts';
import type { UsageReader } from './model-usage.ts';
import { answerRefusal, type EgressParts, type RecordStart, recordRefusal } from './parts.ts';
import { Redaction } from './redaction.ts';
import { failed, type Refusal } from './refusal.ts';
import type { UpstreamPools } from './upstream-pools.ts';
import type { Route } from './upstreams.ts';

/** A request that may go out, with everything that is put on. */
export interface Passage {
  rule: string;
  /** The display name of the credential that is put on. */
  credential: string | null;
  method: string;
  route: Route;
  headers: string[];
  body: Readable | Buffer | null;
  /** Reads along what comes back. */
  reader?: UsageReader;
  /** What is put on and must not come back. */
  secrets?: readonly string[];
  /** The same headers with a new token, after the upstream answered 401. Only where the body can be sent again. */
  renew?: () => Promise<string[]>;
}

export type PassageResult = { ok: true; passage: Passage } | { ok: false; refusal: Refusal };

/** Passes one request on, asks once more with a new token where that can help, answers, and records it. */
export async function passOn(
  parts: EgressParts,
  start: RecordStart,
  pools: UpstreamPools,
  passage: Passage,
  response: ServerResponse,
): Promise<void> {
  const { method, body, route, renew } = passage;
  const redaction = new Redaction(passage.secrets ?? []);
  const input = {
    dispatcher: pools.for(route),
    method,
    path: route.path,
    body,
    response,
    redaction,
    reader: passage.reader,
  };
  // What is compressed could not be searched.
  const readable = (headers: string[]) =>
    redaction.active ? withHeader(headers, 'accept-encoding', 'identity') : headers;
  let result = await forward({
    ...input,
    headers: readable(passage.headers),
    ...(renew ? { discard: (status: number) => status === 401 } : {}),
  });
  if (result.outcome === 'discarded' && renew) {
    result = await forward({ ...input, headers: readable(await renew()) });
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
    ...(passage.reader ? { usage: passage.reader.usage } : {}),
    rule: redaction.hits > 0 ? `${passage.rule} redacted:${redaction.hits}` : passage.rule,
  });
}

import { type Readable, Transform } from 'node:stream';
import type { Asking } from './asking.ts';
import type { EgressParts } from './parts.ts';
import type { Redaction } from './redaction.ts';
import { failed, type Refusal, RefusedError, refuse } from './refusal.ts';
import { decodedText } from './request-target.ts';

/** A search for what a request must not carry, of its own count, once its head was found clean. */
export type OutboundSearch =
  | { ok: true; search: Redaction; refusal: Refusal }
  | { ok: false; refusal: Refusal };

/** Searches the path, the query and the headers as they will be sent. Rejects with a RefusedError when it cannot. */
export async function searchHead({
  parts,
  session,
  request,
  host,
  headers,
}: Asking): Promise<OutboundSearch> {
  const refusal = secretRefusal(host);
  const search = await searchOf(parts, session.organizationId);
  const { path, search: query } = request.target;
  const isFound =
    search.active &&
    search.found([path, query, decodedText(path), decodedText(query), ...headers].join('\n'));
  return isFound ? { ok: false, refusal } : { ok: true, search, refusal };
}

/** What to say to a request that holds one. */
export function secretRefusal(host: string): Refusal {
  return refuse(
    'secret.outbound',
    `The request to ${host} holds a secret that is not for it. Leave it out: credentials are put on outside the sandbox, where an admin has set them.`,
  );
}

/** A search for all of an organization's secrets, of its own count. Rejects with a RefusedError. */
export async function searchOf(parts: EgressParts, organizationId: string): Promise<Redaction> {
  return parts.secrets.search(organizationId).catch(() => {
    throw unreadable();
  });
}

function unreadable(): RefusedError {
  return new RefusedError(failed('policy.unavailable', 'Secrets cannot be read now. Try again.', 503));
}

/** A body as it comes, cut off where a secret begins to show: what holds it is never complete. */
export function searchedBody(body: Readable, search: Redaction, refusal: Refusal): Readable {
  if (!search.active) return body;
  const stream = search.stream();
  const searched = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const clean = stream.push(chunk);
      if (search.hits > 0) done(new RefusedError({ ...refusal, close: true }));
      else done(null, clean);
    },
    flush: (done) => done(null, stream.rest()),
  });
  searched.on('error', () => {});
  body.once('error', (error) => searched.destroy(error));
  return body.pipe(searched);
}

/**
 * A whole body that a provider will read as JSON: as bytes, and each text in it with its escapes resolved and its line
 * ends taken out, as base64 is wrapped in what GitHub takes for the content of a file.
 */
export async function searchWhole(
  { parts, session }: Asking,
  body: Buffer,
  { search, refusal }: Extract<OutboundSearch, { ok: true }>,
): Promise<Refusal | undefined> {
  if (search.active) search.text(body.toString('latin1'));
  if (search.hits > 0) return refusal;
  const text = await parts.jsonBodies.texts(session, body);
  if (text === undefined) return undefined;
  const checked = await parts.secrets.check(session.organizationId, text).catch(() => {
    throw unreadable();
  });
  return checked.ok ? undefined : refusal;
}

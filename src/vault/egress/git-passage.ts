import type { Readable } from 'node:stream';
import { type Asking, framedFor, unmapped } from './asking.ts';
import { type GitCommands, readGitCommands } from './git-commands.ts';
import { decideGitCommands, decideGitRequest, type GitVerdict } from './git-door.ts';
import { searchedPush, searchNames } from './git-search.ts';
import { maxFetchBytes, readGitWants, TipsReader } from './git-wants.ts';
import { isHeaderValue, withHeader } from './header-rules.ts';
import { headerValues } from './http1-head.ts';
import { searchOf } from './outbound-search.ts';
import type { PassageResult } from './pass-on.ts';
import { installationToken } from './provider-passage.ts';
import { objectionOfWorker, placeOf, recordTexts } from './reading-hold.ts';
import { failed, malformed, type Refusal, RefusedError, refuse } from './refusal.ts';

const maxRepositories = 100;

const no = (refusal: Refusal): PassageResult => ({ ok: false, refusal });

/** Git over HTTP with the installation's token, once the gate has let it through, a push with all that it changes. */
export async function gitPassage(asking: Asking): Promise<PassageResult> {
  const { parts, session, policy, host, request } = asking;
  if (!parts.git) return no(refuse('github.git', 'Git is not spoken here.'));
  const query = new URLSearchParams(request.target.search);
  const { method } = request;
  const verdict = decideGitRequest(policy, { method, path: request.target.path, query }, parts.git);
  if (!verdict.ok) return verdict;
  const emulated = policy.publication?.emulated ?? false;
  const { upstreams } = parts.rules;
  // With the API elsewhere, the host of the same name is not its git.
  if (upstreams.maps('api.github.com', emulated) && !upstreams.maps(host, emulated)) {
    return no(refuse('github.git', 'This GitHub has no git that can be reached.'));
  }
  const target = query.size > 0 ? `${request.target.path}?${query}` : request.target.path;
  const route = upstreams.route(host, target, emulated);
  if (!route) return no(unmapped(host));
  const about = {
    provider: 'github',
    request: `git ${method} ${request.target.path}`,
    ...placeOf(verdict),
  } as const;
  const objection = await objectionOfWorker(asking, about, {
    writes: verdict.pushes,
    elsewhere: verdict.elsewhere,
  });
  if (objection) return no(objection);
  const got = await installationToken(asking, verdict.repositories);
  if (!got.ok) return got;
  let body: Readable | Buffer | null = null;
  const fetches = verdict.capability === 'github:repo.read';
  if (request.body.kind !== 'none') {
    asking.wantBody();
    body = fetches
      ? await asking.body.readAll(maxFetchBytes, session.budget, session.lane)
      : asking.body.stream();
  }
  const reader = fetches ? await readingOf(asking, about, verdict, body) : undefined;
  if (verdict.pushes) {
    if (!body || Buffer.isBuffer(body) || headerValues(asking.headers, 'content-encoding').length > 0) {
      return no(malformed('github.git', 'A push is read here, so it must have a plain body.'));
    }
    const commands = await readCommands(body);
    const refusal = decideGitCommands(policy, commands, parts.git);
    if (refusal) return no({ ...refusal, close: true });
    const searched = await searchPush(asking, commands, body);
    if (!searched.ok) return searched;
    body = searched.body;
  }
  const basic = `Basic ${Buffer.from(`x-access-token:${got.token}`).toString('base64')}`;
  if (!isHeaderValue(basic)) return no(failed('credential.unreadable', 'The token is not a header value.'));
  return {
    ok: true,
    passage: {
      rule: verdict.capability,
      credential: got.credential,
      method,
      route,
      // What is compressed could not be read along.
      headers: withHeader(
        withHeader(framedFor(asking, body), 'authorization', basic),
        'accept-encoding',
        reader ? 'identity' : (headerValues(asking.headers, 'accept-encoding')[0] ?? 'identity'),
      ),
      secrets: [got.token],
      body,
      ...(reader ? { reader } : {}),
    },
  };
}

type Reading = Extract<GitVerdict, { ok: true }>;

/**
 * Whose text a fetch brings: what the repository's own branches and tags point to was pushed by people who may write
 * there. Anything else, such as the head of a pull request, can be from a fork, which goes on record before it is passed
 * on. Answers what keeps the tips where they are listed.
 */
async function readingOf(
  asking: Asking,
  about: { provider: 'github'; request: string; place?: Record<string, string> },
  { repositories, discovers, elsewhere, place }: Reading,
  body: Readable | Buffer | null,
): Promise<TipsReader | undefined> {
  const { policy, session } = asking;
  const key = `${place.owner}/${place.repo}`.toLowerCase();
  const known = session.gitTips.get(key) ?? new Set<string>();
  const encoding = headerValues(asking.headers, 'content-encoding')[0]?.toLowerCase();
  const wants = Buffer.isBuffer(body) ? readGitWants(body, encoding) : undefined;
  if (discovers || wants?.kind === 'names') {
    if (session.gitTips.size < maxRepositories || session.gitTips.has(key)) session.gitTips.set(key, known);
    return new TipsReader(known);
  }
  const isOwn =
    !elsewhere && repositories.includes(key) && wants?.wants.every((oid) => known.has(oid)) === true;
  if (!isOwn && !policy.readOutsiders) await recordTexts(asking, about, { by: 'forks' }, undefined);
  return undefined;
}

/** The push with its names searched, and with each object to be searched before it goes on. */
async function searchPush(
  { parts, session }: Asking,
  commands: Exclude<GitCommands, { state: 'more' }>,
  body: Readable,
): Promise<{ ok: true; body: Readable } | { ok: false; refusal: Refusal }> {
  if (commands.state !== 'done') return { ok: true, body };
  const search = await searchOf(parts, session.organizationId);
  const refusal = searchNames(
    search,
    commands.updates.map(({ ref }) => ref),
  );
  if (refusal) return { ok: false, refusal: { ...refusal, close: true } };
  if (!search.active) return { ok: true, body };
  const { bytes: commandBytes, hashBytes } = commands;
  const searched = searchedPush({ search, budget: session.budget, commandBytes, hashBytes });
  searched.on('error', () => {});
  body.once('error', (error) => searched.destroy(error));
  return { ok: true, body: body.pipe(searched) };
}

/** Reads the commands off the front of a body and puts every byte of it back. */
async function readCommands(body: Readable): Promise<Exclude<GitCommands, { state: 'more' }>> {
  let held = Buffer.alloc(0);
  for (;;) {
    const chunk = body.read() as Buffer | null;
    if (chunk !== null) {
      held = Buffer.concat([held, chunk]);
      const commands = readGitCommands(held);
      if (commands.state === 'more') continue;
      body.unshift(held);
      return commands;
    }
    if (body.readableEnded || body.destroyed) {
      throw new RefusedError(malformed('http.body', 'The body broke off.'));
    }
    await new Promise<void>((resolve) => {
      const go = () => {
        for (const event of ['readable', 'end', 'close', 'error']) body.off(event, go);
        resolve();
      };
      for (const event of ['readable', 'end', 'close', 'error']) body.once(event, go);
    });
  }
}

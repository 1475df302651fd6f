import type { ProviderName } from '../../store/schema.ts';
import { CredentialError } from '../credential-store.ts';
import { TokenError } from '../github-app.ts';
import { type Asking, framedFor, unmapped } from './asking.ts';
import { withHeader } from './header-rules.ts';
import { searchedBody, searchHead, searchWhole } from './outbound-search.ts';
import type { PassageResult } from './pass-on.ts';
import { decideNewBranch, decideProviderRequest } from './provider-door.ts';
import { holdFor, objectionOfWorker, placeOf } from './reading-hold.ts';
import { failed, type Refusal, RefusedError, refuse } from './refusal.ts';

/** A body up to this size is kept, so that it can be sent again with a new token. */
export const maxReplayBytes = 1024 * 1024;

/** A request to a provider's API with the installation's credential, once the gate has let it through. */
export async function providerPassage(asking: Asking, provider: ProviderName): Promise<PassageResult> {
  const { parts, policy, host, request } = asking;
  // Read once and written anew, so that the provider reads the query as the gate did.
  const query = new URLSearchParams(request.target.search);
  const { method } = request;
  const verdict = decideProviderRequest(
    policy,
    provider,
    { method, path: request.target.path, query },
    parts.needs,
    parts.git?.update,
  );
  if (!verdict.ok) return verdict;
  const target = query.size > 0 ? `${request.target.path}?${query}` : request.target.path;
  const route = parts.rules.upstreams.route(host, target, policy.publication?.emulated ?? false);
  if (!route) return no(unmapped(host));
  const asked = { provider, request: `${method} ${request.target.path}`.slice(0, 300), ...placeOf(verdict) };
  const objection = await objectionOfWorker(asking, asked, verdict);
  if (objection) return no(objection);
  const got = await installationToken(asking, verdict.repositories);
  if (!got.ok) return got;
  // After the token was got, so that it is looked for too.
  const searched = await searchHead(asking);
  if (!searched.ok) return searched;
  try {
    const { token } = got;
    const put = (headers: string[], value: string) => withHeader(headers, 'authorization', `Bearer ${value}`);
    const read = await readBody(asking);
    const { replayable } = read;
    const leak = Buffer.isBuffer(read.body) && (await searchWhole(asking, read.body, searched));
    if (leak) return no(leak);
    let body =
      read.body === null || Buffer.isBuffer(read.body)
        ? read.body
        : searchedBody(read.body, searched.search, searched.refusal);
    if (verdict.namesBranch) {
      if (!Buffer.isBuffer(body)) return no(refuse('github.git', 'The body must be sent with its length.'));
      const judged = decideNewBranch(policy, body, parts.git?.update);
      if (!judged.ok) return judged;
      ({ body } = judged);
    }
    const headers = framedFor(asking, body);
    return {
      ok: true,
      passage: {
        rule: verdict.capability,
        credential: got.credential,
        method,
        route,
        headers: put(headers, token),
        body,
        secrets: [token],
        ...(verdict.brings && !policy.readOutsiders ? { hold: holdFor(asking, asked, verdict.brings) } : {}),
        ...(replayable
          ? {
              renew: async () => {
                const next = await got.renew();
                return { headers: put(headers, next), secrets: [next] };
              },
            }
          : {}),
      },
    };
  } catch (error) {
    return no(credentialRefusal(error));
  }
}

export type InstallationToken =
  | { ok: true; token: string; credential: string; renew: () => Promise<string> }
  | { ok: false; refusal: Refusal };

/** A token of the session's installation for these repositories only. */
export async function installationToken(
  { parts, session, policy, host }: Asking,
  repositories: readonly string[],
): Promise<InstallationToken> {
  const { installationId } = policy;
  if (!installationId || repositories.length === 0) {
    return {
      ok: false,
      refusal: refuse(
        'credential.no_repository',
        'This session has no repository of its own to act in: only those of a GitHub issue or pull request have one.',
      ),
    };
  }
  try {
    const credential = await parts.credentials.find(session.organizationId, installationId);
    if (credential.kind !== 'github_app') {
      const message = `The credential of this installation is not for ${host}.`;
      return { ok: false, refusal: failed('credential.wrong_kind', message) };
    }
    const tokenFor = (stale?: string) =>
      parts.tokens.get(credential, repositories, stale, session.sessionId).catch((error: unknown) => {
        throw new RefusedError(credentialRefusal(error));
      });
    const token = await tokenFor();
    return { ok: true, token, credential: credential.displayName, renew: () => tokenFor(token) };
  } catch (error) {
    return { ok: false, refusal: credentialRefusal(error) };
  }
}

async function readBody({ session, request, body, wantBody }: Asking) {
  if (request.body.kind === 'none') return { body: null, replayable: true };
  wantBody();
  if (request.body.kind === 'length' && request.body.bytes <= maxReplayBytes) {
    return { body: await body.readAll(maxReplayBytes, session.budget, session.lane), replayable: true };
  }
  return { body: body.stream(), replayable: false };
}

const no = (refusal: Refusal): PassageResult => ({ ok: false, refusal });

/** What to answer when a credential could not be had. Throws on what is no such error. */
export function credentialRefusal(error: unknown): Refusal {
  if (error instanceof RefusedError) return error.refusal;
  if (error instanceof CredentialError) {
    const status = error.code === 'unavailable' ? 503 : 502;
    return failed(`credential.${error.code}`, error.message, status, `credential_${error.code}`);
  }
  if (error instanceof TokenError) {
    return error.code === 'narrowing'
      ? refuse('credential.narrowing', error.message)
      : failed(
          `token.${error.code}`,
          error.message,
          error.code === 'unavailable' ? 503 : 502,
          error.code === 'unavailable' ? 'credential_unavailable' : 'credential_refused',
        );
  }
  throw error;
}

import { eq } from 'drizzle-orm';
import { ProviderError } from '../../providers/provider.ts';
import type { CreateRequest } from '../../providers/publish-flow.ts';
import { withOrganization } from '../../store/organization.ts';
import { nextPublicationState } from '../../store/publication-states.ts';
import { type PublishStep, publications } from '../../store/schema.ts';
import { ApiError } from '../errors.ts';
import { confirmPublication } from './confirm.ts';
import { addCredential, lockPublication, storeApp } from './credentials.ts';
import type { FlowDeps, PublicationRow } from './deps.ts';
import { loadPublication } from './input.ts';
import { challengeOf, createPublishToken, type PublishToken, verifierOf } from './tokens.ts';

/** A single-use link that begins a step in the browser which opens it. */
export async function startLink(
  deps: FlowDeps,
  publication: Pick<PublicationRow, 'organizationId' | 'id'>,
  step: PublishStep,
  until?: Date,
): Promise<{ url: string; expiresAt: Date }> {
  const { organizationId, id: publicationId } = publication;
  const { value, expiresAt } = await createPublishToken(deps, {
    organizationId,
    publicationId,
    kind: 'start',
    step,
    ...(until ? { until } : {}),
  });
  return { url: new URL(`/publish/start/${value}`, deps.config.baseUrl).href, expiresAt };
}

/** Begins a step: where this browser goes. The state that comes back is bound to the browser. */
export async function beginStep(
  deps: FlowDeps,
  token: PublishToken,
  browser: string,
): Promise<CreateRequest> {
  const { organizationId, publicationId } = token;
  const step = token.step ?? 'install';
  const loaded = await loadPublication(deps, organizationId, publicationId);
  const { publication, input, pages } = loaded;
  if (publication.state === 'unpublished') {
    throw new ApiError('conflict_error', 'This publication was ended. Publish the agent anew.');
  }
  const flow = deps.adapters[publication.provider].publishFlow;
  const { value: state } = await createPublishToken(deps, {
    organizationId,
    publicationId,
    kind: 'state',
    step,
    browser,
  });
  if (step === 'create') return flow.create(input, { pages, owner: publication.setup.owner, state });
  if (publication.state === 'pending_setup') {
    throw new ApiError(
      'conflict_error',
      'The app does not exist yet: make it first, and give its credentials.',
    );
  }
  const url = flow.installUrl({
    setup: publication.setup,
    pages,
    redirectUrl: input.redirectUrl,
    scopes: input.scopes,
    state,
    challenge: challengeOf(verifierOf(deps, state)),
  });
  await withOrganization(deps.database, organizationId, async (tx) => {
    const row = await lockPublication(tx, publicationId);
    await tx
      .update(publications)
      .set({ state: nextPublicationState(row.state, 'install_started'), updatedAt: deps.clock() })
      .where(eq(publications.id, publicationId));
  });
  return { method: 'get', url, fields: {} };
}

const flowTimeoutMs = 20_000;

function contextOf(deps: FlowDeps, organizationId: string, publicationId: string) {
  const send = deps.platformFetch({ organizationId, installationId: publicationId });
  const timeout = AbortSignal.timeout(flowTimeoutMs);
  const fetch: typeof globalThis.fetch = (resource, init) => send(resource, { ...init, signal: timeout });
  return { fetch, clock: deps.clock };
}

/** GitHub's code of a made app: exchanged at once, and its credentials sealed before anything else is done. */
export async function finishCreate(deps: FlowDeps, token: PublishToken, code: string): Promise<void> {
  const { organizationId, publicationId: id } = token;
  const { publication } = await loadPublication(deps, organizationId, id);
  const { convert } = deps.adapters[publication.provider].publishFlow;
  if (!convert) throw new ApiError('invalid_request_error', 'This provider sends no code for a made app.');
  const app = await convert(contextOf(deps, organizationId, id), code);
  await storeApp(deps, publication, app);
}

/** The code of an installation, or GitHub's number of one: exchanged, confirmed by the provider's API, and live. */
export async function finishInstall(
  deps: FlowDeps,
  token: PublishToken,
  state: string,
  given: { code?: string; installationId?: string },
): Promise<PublicationRow> {
  const { organizationId, publicationId: id } = token;
  const { publication, input } = await loadPublication(deps, organizationId, id);
  const { exchange } = deps.adapters[publication.provider].publishFlow;
  if (!exchange) {
    return confirmPublication(deps, organizationId, id, {
      ...(given.installationId ? { installationId: given.installationId } : {}),
    });
  }
  if (!given.code) throw new ProviderError('refused', 'The provider sent no code.');
  const credential = await exchange(contextOf(deps, organizationId, id), {
    code: given.code,
    redirectUrl: input.redirectUrl,
    verifier: verifierOf(deps, state),
  });
  const credentialId = await withOrganization(deps.database, organizationId, async (tx) =>
    addCredential(deps, tx, await lockPublication(tx, id), credential),
  );
  return confirmPublication(deps, organizationId, id, { credentialId });
}

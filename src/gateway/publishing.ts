import { and, eq, sql } from 'drizzle-orm';
import { ZodError } from 'zod';
import { unknownCapabilities } from '../capabilities/decide.ts';
import { capabilityTables } from '../capabilities/tables.ts';
import { ProviderError, type SplitCredentials } from '../providers/provider.ts';
import { newId } from '../store/ids.ts';
import { withOrganization } from '../store/organization.ts';
import {
  agents,
  type CredentialKind,
  credentials,
  type Grant,
  type InstallationIdentity,
  installations,
  organizations,
  type ProviderName,
  publications,
  webhookSecrets,
} from '../store/schema.ts';
import { credentialBinding } from '../vault/seal.ts';
import type { GatewayDeps } from './deps.ts';
import { ApiError, describeIssues, notFound } from './errors.ts';
import { webhookSecretBinding } from './secrets.ts';

export type PublicationRow = typeof publications.$inferSelect;
export type PublishingDeps = Pick<
  GatewayDeps,
  'database' | 'adapters' | 'secrets' | 'platformFetch' | 'clock' | 'logger'
>;

export interface PublicationPolicy {
  /** Hosts that the agent's sandbox may talk to beside the provider's and the model's: `example.com`, `*.example.com`. */
  allowed_hosts?: string[];
}

export interface NewPublication {
  provider: ProviderName;
  agentId: string;
  /** As the provider's adapter wants them; checked there. */
  credentials: unknown;
  capabilities?: Record<string, Grant>;
  policy?: PublicationPolicy;
  /** Only the server itself says so, for its emulated workplace. */
  emulated?: boolean;
}

const credentialNames: Record<CredentialKind, string> = {
  slack_bot: 'Slack bot token',
  github_app: 'GitHub App key',
  linear_app: 'Linear app token',
  static_bearer: 'bearer token',
};

/** How long a provider may take to say who we are. */
const confirmTimeoutMs = 15_000;

/**
 * Publishes an agent with credentials that an admin made by hand: stores them sealed, then asks the provider who they
 * are. Answers its id; whether they were confirmed is its state. Throws ApiErrors for what is wrong with the input.
 */
export async function createPublication(
  deps: PublishingDeps,
  organizationId: string,
  input: NewPublication,
): Promise<string> {
  checkCapabilities(input.provider, input.capabilities ?? {});
  const split = splitCredentials(deps, input);
  const id = newId('pub');
  const secretId = newId('secret');
  const credentialId = newId('cred');
  const publicKey = await sealingKey(deps, organizationId, input.agentId);
  const sealedSecret = await deps.secrets.sealWebhookSecret(
    webhookSecretBinding(organizationId, secretId),
    split.webhookSecret,
  );
  const sealedCredential = await deps.secrets.sealCredential(
    publicKey,
    credentialBinding(organizationId, credentialId),
    split.credential.secret,
  );
  await withOrganization(deps.database, organizationId, async (tx) => {
    await tx.insert(publications).values({
      id,
      organizationId,
      agentId: input.agentId,
      provider: input.provider,
      state: 'credentials_filled',
      stateReason: 'The credentials have not been confirmed yet.',
      capabilities: input.capabilities ?? {},
      policy: { ...input.policy },
      emulated: input.emulated ?? false,
    });
    await tx
      .insert(webhookSecrets)
      .values({ id: secretId, organizationId, publicationId: id, sealed: sealedSecret });
    await tx.insert(credentials).values({
      id: credentialId,
      organizationId,
      publicationId: id,
      kind: split.credential.kind,
      displayName: credentialNames[split.credential.kind],
      sealed: sealedCredential,
      detail: split.credential.detail,
    });
  });
  await confirmPublication(deps, organizationId, id);
  return id;
}

/** Throws when a name is not in the provider's table; says which names are. */
export function checkCapabilities(provider: ProviderName, grants: Record<string, Grant>): void {
  const unknown = unknownCapabilities(provider, grants);
  if (unknown.length === 0) return;
  throw new ApiError(
    'invalid_request_error',
    `capabilities: ${provider} has no ${unknown.join(', ')}. It has ${Object.keys(capabilityTables[provider]).join(', ')}.`,
  );
}

function splitCredentials(deps: PublishingDeps, input: NewPublication): SplitCredentials {
  try {
    return deps.adapters[input.provider].splitCredentials(input.credentials);
  } catch (error) {
    if (!(error instanceof ZodError)) throw error;
    throw new ApiError('invalid_request_error', describeIssues(error, 'credentials'));
  }
}

async function sealingKey(deps: PublishingDeps, organizationId: string, agentId: string) {
  return withOrganization(deps.database, organizationId, async (tx) => {
    const [agent] = await tx.select().from(agents).where(eq(agents.id, agentId));
    if (!agent) throw notFound('agent', agentId);
    if (agent.archivedAt) throw new ApiError('conflict_error', `Agent ${agentId} is archived.`);
    const [organization] = await tx.select().from(organizations);
    if (!organization?.sealingPublicKey) {
      throw new ApiError(
        'unavailable_error',
        'This organization has no sealing key yet: a worker has to have run once. Start one and try again.',
      );
    }
    return organization.sealingPublicKey;
  });
}

/**
 * Asks the provider who the publication's credentials are. Confirmed, it is `live` and has an installation; else its
 * state and `state_reason` say in words what the provider said. Answers the publication as it is then.
 */
export async function confirmPublication(
  deps: PublishingDeps,
  organizationId: string,
  publicationId: string,
): Promise<PublicationRow> {
  const { publication, detail } = await withOrganization(deps.database, organizationId, async (tx) => {
    const [found] = await tx.select().from(publications).where(eq(publications.id, publicationId));
    if (!found) throw notFound('publication', publicationId);
    if (found.state === 'unpublished') {
      throw new ApiError('conflict_error', `Publication ${publicationId} is unpublished.`);
    }
    const [credential] = await tx
      .select({ detail: credentials.detail })
      .from(credentials)
      .where(eq(credentials.publicationId, publicationId));
    if (!credential) {
      throw new ApiError('conflict_error', `Publication ${publicationId} has no credentials yet.`);
    }
    return { publication: found, detail: credential.detail };
  });
  const answer = await askWhoWeAre(deps, publication, detail);
  return withOrganization(deps.database, organizationId, async (tx) => {
    const now = deps.clock();
    const [locked] = await tx
      .select()
      .from(publications)
      .where(eq(publications.id, publicationId))
      .for('update');
    if (!locked) throw notFound('publication', publicationId);
    if (locked.state === 'unpublished') return locked;
    if (answer.ok) {
      const installationId = await recordInstallation(tx, locked, answer.identity, now);
      await tx
        .update(credentials)
        .set({ installationId, updatedAt: now })
        .where(eq(credentials.publicationId, publicationId));
    }
    const change = answer.ok
      ? { state: 'live' as const, stateReason: null }
      : { state: stateAfterFailure(locked, answer), stateReason: answer.message };
    const [updated] = await tx
      .update(publications)
      .set({ ...change, updatedAt: now })
      .where(eq(publications.id, publicationId))
      .returning();
    if (!updated) throw notFound('publication', publicationId);
    return updated;
  });
}

type WhoAmIAnswer =
  | { ok: true; identity: InstallationIdentity }
  | { ok: false; unauthorized: boolean; message: string };

async function askWhoWeAre(
  deps: PublishingDeps,
  publication: PublicationRow,
  detail: Record<string, unknown>,
): Promise<WhoAmIAnswer> {
  const { organizationId, id, provider } = publication;
  const plainDetail = Object.fromEntries(Object.entries(detail).map(([key, value]) => [key, String(value)]));
  const platformFetch = deps.platformFetch({ organizationId, installationId: id });
  const timeout = AbortSignal.timeout(confirmTimeoutMs);
  const timedFetch: typeof fetch = (resource, init) =>
    platformFetch(resource, {
      ...init,
      signal: init?.signal ? AbortSignal.any([init.signal, timeout]) : timeout,
    });
  try {
    return { ok: true, identity: await deps.adapters[provider].whoAmI({ fetch: timedFetch }, plainDetail) };
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error);
    deps.logger.warn({ publicationId: id, err: error }, 'the provider did not confirm the credentials');
    return {
      ok: false,
      unauthorized: error instanceof ProviderError && error.code === 'unauthorized',
      message: `${provider} did not confirm the credentials: ${said}`,
    };
  }
}

/** What was live stays so while the provider is merely away. */
function stateAfterFailure(
  publication: PublicationRow,
  answer: { unauthorized: boolean },
): PublicationRow['state'] {
  if (publication.state !== 'live') return publication.state;
  return answer.unauthorized ? 'needs_reauth' : 'live';
}

async function recordInstallation(
  tx: Parameters<Parameters<typeof withOrganization>[2]>[0],
  publication: PublicationRow,
  identity: InstallationIdentity,
  now: Date,
): Promise<string> {
  const { id: publicationId, organizationId, provider } = publication;
  const [known] = await tx
    .update(installations)
    .set({ identity, updatedAt: now })
    .where(
      and(
        eq(installations.publicationId, publicationId),
        sql`${installations.identity}->>'workspaceId' = ${identity.workspaceId}`,
      ),
    )
    .returning();
  if (known) return known.id;
  const id = newId('inst');
  await tx.insert(installations).values({ id, organizationId, publicationId, provider, identity });
  return id;
}

/** Ends a publication for good: its secrets and credentials are destroyed, its webhooks are no longer accepted. */
export async function unpublish(
  deps: PublishingDeps,
  organizationId: string,
  publicationId: string,
): Promise<PublicationRow> {
  return withOrganization(deps.database, organizationId, async (tx) => {
    const [row] = await tx
      .update(publications)
      .set({ state: 'unpublished', stateReason: null, updatedAt: deps.clock() })
      .where(eq(publications.id, publicationId))
      .returning();
    if (!row) throw notFound('publication', publicationId);
    await tx.delete(webhookSecrets).where(eq(webhookSecrets.publicationId, publicationId));
    await tx.delete(credentials).where(eq(credentials.publicationId, publicationId));
    return row;
  });
}

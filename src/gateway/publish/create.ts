import { eq } from 'drizzle-orm';
import type { z } from 'zod';
import { unknownCapabilities } from '../../capabilities/decide.ts';
import type { approvalsPolicy, authorityPolicy, limitsPolicy } from '../../capabilities/policy.ts';
import { capabilityTables } from '../../capabilities/tables.ts';
import type { Transaction } from '../../store/connection.ts';
import { newId } from '../../store/ids.ts';
import { withOrganization } from '../../store/organization.ts';
import { nextPublicationState } from '../../store/publication-states.ts';
import { agents, type Grant, type ProviderName, publications } from '../../store/schema.ts';
import { ApiError, notFound } from '../errors.ts';
import { confirmPublication } from './confirm.ts';
import {
  addCredential,
  addWebhookSecret,
  checked,
  lockPublication,
  type ReplacedSecret,
  storeApp,
  takeBackWebhookSecret,
} from './credentials.ts';
import type { PublicationRow, PublishingDeps } from './deps.ts';

export interface PublicationPolicy {
  /** Hosts that the agent's sandbox may talk to beside the provider's and the model's: `example.com`, `*.example.com`, `example.com/v1`. */
  allowed_hosts?: string[];
  /** Hosts whose TLS the proxy leaves alone; they get no credential. */
  passthrough_hosts?: string[];
  /** Whose credentials its sessions use, after those of their own vaults. */
  vault_ids?: string[];
  /** Who may address the agent. */
  authority?: z.output<typeof authorityPolicy>;
  /** Who decides over what it asks leave for. */
  approvals?: z.output<typeof approvalsPolicy>;
  /** How often it may be set to work. */
  limits?: z.output<typeof limitsPolicy>;
}

export interface NewPublication {
  provider: ProviderName;
  agentId: string;
  /** As the provider's adapter wants them; checked there. Absent where the guided flow makes the app. */
  credentials?: unknown;
  capabilities?: Record<string, Grant>;
  policy?: PublicationPolicy;
  /** The app's name at the provider, where it shall differ from the agent's. */
  name?: string;
  /** GitHub: the organization that shall own the app. */
  owner?: string;
  /** Published into the emulated workplace. */
  emulated?: boolean;
}

/**
 * Publishes an agent. With credentials that an admin made by hand they are stored sealed, and the provider is asked who
 * they are; without, the publication waits in `pending_setup`, its addresses being those that it will have. Answers its
 * id. Throws ApiErrors for what is wrong with the input, and what `check` throws.
 */
export async function createPublication(
  deps: PublishingDeps,
  organizationId: string,
  input: NewPublication,
  /** Looks at what the policy names, in the transaction that stores it: what was seen, or is locked, holds then. */
  check: (tx: Transaction) => Promise<void> = async () => {},
): Promise<string> {
  checkCapabilities(input.provider, input.capabilities ?? {});
  checkTeams(deps, input.provider, input.policy);
  const guided = input.credentials === undefined;
  if (!guided) checked(() => deps.adapters[input.provider].splitCredentials(input.credentials));
  const id = newId('pub');
  await withOrganization(deps.database, organizationId, async (tx) => {
    await check(tx);
    await checkAgent(tx, input.agentId);
    await tx.insert(publications).values({
      id,
      organizationId,
      agentId: input.agentId,
      provider: input.provider,
      state: 'pending_setup',
      capabilities: input.capabilities ?? {},
      policy: { ...input.policy },
      setup: {
        ...(guided ? { flow: 'manifest' as const } : {}),
        ...(input.name ? { name: input.name } : {}),
        ...(input.owner ? { owner: input.owner } : {}),
      },
      emulated: input.emulated ?? false,
    });
    if (!guided) await storeWhole(deps, tx, id, input.credentials);
  });
  if (!guided) await confirmPublication(deps, organizationId, id);
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

/** Throws where a policy names teams and the provider has none that could be asked for. */
export function checkTeams(
  { adapters }: Pick<PublishingDeps, 'adapters'>,
  provider: ProviderName,
  policy: PublicationPolicy | undefined,
): void {
  if ((policy?.authority?.teams ?? []).length === 0 || adapters[provider].isInTeam) return;
  throw new ApiError(
    'invalid_request_error',
    `policy.authority.teams: ${provider} has no teams that could be asked for; list people by their ids instead.`,
  );
}

async function checkAgent(tx: Transaction, agentId: string): Promise<void> {
  const [agent] = await tx.select().from(agents).where(eq(agents.id, agentId));
  if (!agent) throw notFound('agent', agentId);
  if (agent.archivedAt) throw new ApiError('conflict_error', `Agent ${agentId} is archived.`);
}

/** Stores whole credentials: the webhook's secret and a token. Answers the secrets that this one replaced. */
async function storeWhole(
  deps: PublishingDeps,
  tx: Transaction,
  publicationId: string,
  given: unknown,
): Promise<ReplacedSecret | undefined> {
  const row = await lockPublication(tx, publicationId);
  const split = checked(() => deps.adapters[row.provider].splitCredentials(given));
  const replaced = await addWebhookSecret(deps, tx, row, split.webhookSecret);
  await addCredential(deps, tx, row, split.credential);
  await tx
    .update(publications)
    .set({
      state: nextPublicationState(row.state, 'credentials_filled'),
      stateReason: 'The credentials have not been confirmed yet.',
      updatedAt: deps.clock(),
    })
    .where(eq(publications.id, publicationId));
  return replaced;
}

/**
 * Takes credentials for a publication that exists: those of its app (`client_id` …), after which it can be installed, or
 * whole ones, which are confirmed at once.
 */
export async function giveCredentials(
  deps: PublishingDeps,
  publication: PublicationRow,
  given: unknown,
): Promise<void> {
  const flow = deps.adapters[publication.provider].publishFlow;
  const isApp =
    flow.splitApp !== undefined && typeof given === 'object' && given !== null && 'client_id' in given;
  if (isApp && flow.splitApp) {
    const { splitApp } = flow;
    await storeApp(
      deps,
      publication,
      checked(() => splitApp(given)),
    );
    return;
  }
  const { organizationId, id, stateReason } = publication;
  const replaced = await withOrganization(deps.database, organizationId, (tx) =>
    storeWhole(deps, tx, id, given),
  );
  try {
    await confirmPublication(deps, organizationId, id);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    // They are those of another workspace: what was in force is so still, as it was.
    await withOrganization(deps.database, organizationId, async (tx) => {
      if (replaced) await takeBackWebhookSecret(tx, replaced);
      await tx.update(publications).set({ stateReason }).where(eq(publications.id, id));
    });
    throw error;
  }
}

import { and, desc, eq, inArray, lt } from 'drizzle-orm';
import type { Hono } from 'hono';
import { z } from 'zod';
import { approvalsPolicy, authorityPolicy, limitsPolicy } from '../../capabilities/policy.ts';
import type { Transaction } from '../../store/connection.ts';
import { withOrganization } from '../../store/organization.ts';
import {
  agents,
  agentVersions,
  type InstallationIdentity,
  installations,
  publications,
} from '../../store/schema.ts';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps } from '../deps.ts';
import { ApiError, notFound, readJson, readQuery } from '../errors.ts';
import { decodeCursor, pageParameters, toPage } from '../listing.ts';
import {
  decideCapabilities,
  pendingDifference,
  scopesToInstall,
  setCapabilities,
} from '../publish/capabilities.ts';
import { confirmPublication } from '../publish/confirm.ts';
import {
  checkCapabilities,
  checkTeams,
  createPublication,
  type NewPublication,
  type PublicationPolicy,
} from '../publish/create.ts';
import type { PublicationRow } from '../publish/deps.ts';
import { unpublish } from '../publish/unpublish.ts';
import { refuseTiesAmong, vaultSetsOfSessions } from './credential-ties.ts';
import { allowedHost } from './environment-input.ts';
import { requireEnvironment } from './environments.ts';
import { refusePassthroughOfPolicy } from './passthrough-ties.ts';
import { requireVaults } from './vaults.ts';

const provider = z.enum(['slack', 'github', 'linear']);
const capabilities = z.record(z.string(), z.enum(['on', 'ask', 'off']));
const hosts = z
  .array(
    z
      .string()
      .regex(
        /^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z][a-z0-9-]{0,61}[a-z0-9]$/,
        'a host name in lower case, as example.com or *.example.com, without scheme, port or path',
      ),
  )
  .max(200);
/** What an admin sets for one publication. */
export const policyInput = z.strictObject({
  allowed_hosts: z.array(allowedHost).max(200).optional(),
  /** Hosts whose TLS is left alone, for clients that accept the host's own certificate only. No credential there. */
  passthrough_hosts: hosts.optional(),
  /** For sessions that have no environment of their own. */
  environment_id: z.string().min(1).optional(),
  authority: authorityPolicy.optional(),
  approvals: approvalsPolicy
    .refine(({ approvers, needed = 1 }) => approvers === undefined || needed <= approvers.length, {
      path: ['needed'],
      message: 'more than there are approvers: nothing could ever be approved',
    })
    .optional(),
  limits: limitsPolicy.optional(),
  /** Whose credentials its sessions use, after those of their own vaults. */
  vault_ids: z.array(z.string().min(1)).max(16).optional(),
});

const createInput = z.strictObject({
  provider,
  agent_id: z.string().min(1),
  /** Left out, the guided flow makes the app: see `/v1/publications/{id}/setup`. */
  credentials: z.unknown().optional(),
  capabilities: capabilities.optional(),
  policy: policyInput.optional(),
  name: z.string().trim().min(1).max(80).optional(),
  /** GitHub: the organization that shall own the app. */
  owner: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9-]{0,38}$/, 'the login of a GitHub organization')
    .optional(),
  /** Into the workplace on this machine, where one runs. */
  emulated: z.boolean().optional(),
});

/** What an admin may change. Capabilities are set as a whole: what is left out goes back to its default. */
const updateInput = z.strictObject({ capabilities: capabilities.optional(), policy: policyInput.optional() });

/** `/v1/publications`: publish headless, read, change what it may do, confirm again, unpublish. */
export function publicationRoutes(
  app: Hono<GatewayEnv>,
  deps: GatewayDeps,
  onChanged: (publicationId: string) => void,
): void {
  const { database, config, clock } = deps;

  const show = (row: PublicationRow, identity: InstallationIdentity | undefined, name: string) => ({
    id: row.id,
    type: 'publication',
    provider: row.provider,
    guided: row.setup.flow === 'manifest',
    owner: row.setup.owner ?? null,
    agent_id: row.agentId,
    name,
    state: row.state,
    state_reason: row.stateReason,
    webhook_url: new URL(`/webhooks/${row.provider}/${row.id}`, config.baseUrl).href,
    identity: identity ?? null,
    capabilities: row.capabilities,
    pending_capabilities: pendingDifference(row),
    missing_scopes: scopesToInstall(row),
    policy: row.policy,
    emulated: row.emulated,
    created_at: row.createdAt,
    updated_at: row.updatedAt,
  });

  const showAll = async (organizationId: string, rows: PublicationRow[]) => {
    if (rows.length === 0) return [];
    const ids = rows.map((row) => row.id);
    const agentIds = rows.map((row) => row.agentId);
    const { found, named } = await withOrganization(database, organizationId, async (tx) => ({
      found: await tx
        .select()
        .from(installations)
        .where(inArray(installations.publicationId, ids))
        .orderBy(installations.id),
      named: await tx
        .select({ id: agents.id, name: agentVersions.name })
        .from(agents)
        .innerJoin(
          agentVersions,
          and(eq(agentVersions.agentId, agents.id), eq(agentVersions.version, agents.version)),
        )
        .where(inArray(agents.id, agentIds)),
    }));
    const identities = new Map(found.map((row) => [row.publicationId, row.identity]));
    const names = new Map(named.map((row) => [row.id, row.name]));
    return rows.map((row) =>
      show(row, identities.get(row.id), row.setup.name ?? names.get(row.agentId) ?? row.agentId),
    );
  };

  const read = async (organizationId: string, id: string) => {
    const [row] = await withOrganization(database, organizationId, (tx) =>
      tx.select().from(publications).where(eq(publications.id, id)),
    );
    if (!row) throw notFound('publication', id);
    const [shown] = await showAll(organizationId, [row]);
    return shown;
  };

  app.post('/v1/publications', async (c) => {
    const input = await readJson(c, createInput);
    const { organizationId } = c.var.caller;
    if (input.owner && input.provider !== 'github') {
      throw new ApiError('invalid_request_error', 'owner: only a GitHub App belongs to an organization.');
    }
    if (input.emulated && !config.pages?.emulated) {
      throw new ApiError(
        'invalid_request_error',
        'emulated: the workplace does not run here, so that nothing can be published into it.',
      );
    }
    const vaultIds = input.policy?.vault_ids ?? [];
    const checkPolicy = async (tx: Transaction) => {
      await requireVaults(tx, vaultIds);
      await refusePassthroughOfPolicy(tx, input.policy?.passthrough_hosts, vaultIds);
      await refuseTiesAmong(tx, vaultIds);
      await requireEnvironment(tx, input.policy?.environment_id);
    };
    const wanted: NewPublication = {
      provider: input.provider,
      agentId: input.agent_id,
      ...(input.credentials === undefined ? {} : { credentials: input.credentials }),
      ...(input.name ? { name: input.name } : {}),
      ...(input.owner ? { owner: input.owner } : {}),
      ...(input.emulated ? { emulated: true } : {}),
      ...(input.capabilities ? { capabilities: input.capabilities } : {}),
      ...(input.policy ? { policy: withoutUndefined(input.policy) } : {}),
    };
    const id = await createPublication(deps, organizationId, wanted, checkPolicy);
    return c.json(await read(organizationId, id), 201);
  });

  app.get('/v1/publications', async (c) => {
    const query = readQuery(
      c,
      z.object({ ...pageParameters(), provider: provider.optional(), agent_id: z.string().optional() }),
    );
    const after = decodeCursor(query.page);
    const { organizationId } = c.var.caller;
    const rows = await withOrganization(database, organizationId, (tx) =>
      tx
        .select()
        .from(publications)
        .where(
          and(
            query.provider === undefined ? undefined : eq(publications.provider, query.provider),
            query.agent_id === undefined ? undefined : eq(publications.agentId, query.agent_id),
            after === undefined ? undefined : lt(publications.id, after),
          ),
        )
        .orderBy(desc(publications.id))
        .limit(query.limit + 1),
    );
    const page = toPage(
      rows,
      query.limit,
      (row) => row.id,
      (row) => row,
    );
    return c.json({ ...page, data: await showAll(organizationId, page.data) });
  });

  app.get('/v1/publications/:id', async (c) =>
    c.json(await read(c.var.caller.organizationId, c.req.param('id'))),
  );

  app.post('/v1/publications/:id', async (c) => {
    const input = await readJson(c, updateInput);
    const { organizationId } = c.var.caller;
    const id = c.req.param('id');
    await withOrganization(database, organizationId, async (tx) => {
      const [row] = await tx.select().from(publications).where(eq(publications.id, id)).for('update');
      if (!row) throw notFound('publication', id);
      if (input.capabilities) checkCapabilities(row.provider, input.capabilities);
      checkTeams(deps, row.provider, input.policy);
      if (input.policy) {
        const vaultIds = input.policy.vault_ids ?? [];
        await requireVaults(tx, vaultIds);
        await refusePassthroughOfPolicy(tx, input.policy.passthrough_hosts, vaultIds, id);
        for (const own of [[], ...(await vaultSetsOfSessions(tx, id))]) {
          await refuseTiesAmong(tx, [...own, ...vaultIds]);
        }
        await requireEnvironment(tx, input.policy.environment_id);
      }
      await tx
        .update(publications)
        .set({
          ...(input.policy ? { policy: { ...withoutUndefined(input.policy) } } : {}),
          updatedAt: clock(),
        })
        .where(eq(publications.id, id));
      if (input.capabilities) await setCapabilities(tx, row, input.capabilities, clock());
    });
    return c.json(await read(organizationId, id));
  });

  app.post('/v1/publications/:id/capabilities/approve', async (c) => {
    const { difference } = await readJson(c, z.strictObject({ difference: z.string().min(1).max(100) }));
    const { organizationId } = c.var.caller;
    const id = c.req.param('id');
    await decideCapabilities(deps, organizationId, id, { decision: 'approve', difference });
    return c.json(await read(organizationId, id));
  });

  app.post('/v1/publications/:id/capabilities/reject', async (c) => {
    const { organizationId } = c.var.caller;
    const id = c.req.param('id');
    await decideCapabilities(deps, organizationId, id, { decision: 'reject' });
    return c.json(await read(organizationId, id));
  });

  app.post('/v1/publications/:id/confirm', async (c) => {
    const { organizationId } = c.var.caller;
    await confirmPublication(deps, organizationId, c.req.param('id'));
    return c.json(await read(organizationId, c.req.param('id')));
  });

  app.post('/v1/publications/:id/unpublish', async (c) => {
    const { organizationId } = c.var.caller;
    await unpublish(deps, organizationId, c.req.param('id'));
    onChanged(c.req.param('id'));
    return c.json(await read(organizationId, c.req.param('id')));
  });
}

/** What JSON holds of it: fields that were left out are not there. */
function withoutUndefined(input: z.output<typeof policyInput>): PublicationPolicy {
  return JSON.parse(JSON.stringify(input)) as PublicationPolicy;
}

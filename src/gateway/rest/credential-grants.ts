import { and, desc, eq, inArray, lt } from 'drizzle-orm';
import type { Hono } from 'hono';
import { z } from 'zod';
import type { Transaction } from '../../store/connection.ts';
import { newId } from '../../store/ids.ts';
import { withOrganization } from '../../store/organization.ts';
import { credentialGrants, credentials, sessions, turns } from '../../store/schema.ts';
import { readGrants } from '../../vault/egress/grant-reader.ts';
import { vaultCredentialKinds } from '../../vault/vault-credential.ts';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps } from '../deps.ts';
import { ApiError, notFound, readJson, readQuery } from '../errors.ts';
import { decodeCursor, pageParameters, toPage } from '../listing.ts';
import { refuseTiesAmong, vaultsOfPublication } from './credential-ties.ts';
import { refusePassthroughOfSession } from './passthrough-ties.ts';
import { requireSession } from './sessions.ts';
import { requireVaults } from './vaults.ts';

type GrantRow = typeof credentialGrants.$inferSelect;

const maxGrantMs = 30 * 24 * 3_600_000;

const grantInput = z
  .strictObject({
    vault_id: z.string().min(1).optional(),
    credential_id: z.string().min(1).optional(),
    turn: z.enum(['current', 'next']).optional(),
    expires_at: z.iso.datetime({ offset: true }).optional(),
  })
  .refine((input) => (input.vault_id === undefined) !== (input.credential_id === undefined), {
    error: 'exactly one of `vault_id` and `credential_id`',
  })
  .refine((input) => (input.turn === undefined) !== (input.expires_at === undefined), {
    error: 'exactly one of `turn` and `expires_at`',
  });

function showGrant(row: GrantRow) {
  return {
    id: row.id,
    type: 'credential_grant',
    session_id: row.sessionId,
    vault_id: row.vaultId,
    credential_id: row.credentialId,
    turn: row.span === 'until' ? null : row.span === 'current_turn' ? 'current' : 'next',
    turn_id: row.turnId,
    expires_at: row.expiresAt,
    created_at: row.createdAt,
  };
}

async function runningTurn(tx: Transaction, sessionId: string): Promise<string> {
  const [turn] = await tx
    .select({ id: turns.id })
    .from(turns)
    .where(and(eq(turns.sessionId, sessionId), eq(turns.state, 'running')));
  if (turn) return turn.id;
  throw new ApiError(
    'conflict_error',
    `turn: no turn of session ${sessionId} is running. Grant it for the \`next\` one.`,
  );
}

/** The vault of a credential that is there to be lent. */
async function requireCredential(tx: Transaction, id: string): Promise<string> {
  const [row] = await tx
    .select()
    .from(credentials)
    .where(and(eq(credentials.id, id), inArray(credentials.kind, [...vaultCredentialKinds])));
  if (!row?.vaultId) throw notFound('credential', id);
  if (row.archivedAt) throw new ApiError('conflict_error', `Credential ${id} is archived.`);
  return row.vaultId;
}

/** `/v1/sessions/{id}/credential_grants`: a credential, or a vault, for one turn or until a time. */
export function credentialGrantRoutes(app: Hono<GatewayEnv>, { database, clock }: GatewayDeps): void {
  const path = '/v1/sessions/:id/credential_grants';

  app.post(path, async (c) => {
    const input = await readJson(c, grantInput);
    const { organizationId } = c.var.caller;
    const sessionId = c.req.param('id');
    const now = clock().getTime();
    const expiresAt = input.expires_at === undefined ? null : new Date(input.expires_at);
    if (expiresAt && (expiresAt.getTime() <= now || expiresAt.getTime() > now + maxGrantMs)) {
      throw new ApiError('invalid_request_error', 'expires_at: a time within the next 30 days.');
    }
    const row = await withOrganization(database, organizationId, async (tx) => {
      const [session] = await tx.select().from(sessions).where(eq(sessions.id, sessionId));
      if (!session) throw notFound('session', sessionId);
      if (session.archivedAt) throw new ApiError('conflict_error', `Session ${sessionId} is archived.`);
      if (input.vault_id !== undefined) await requireVaults(tx, [input.vault_id]);
      if (input.credential_id !== undefined) {
        await requireVaults(tx, [await requireCredential(tx, input.credential_id)]);
      }
      const vaultIds = input.vault_id === undefined ? [] : [input.vault_id];
      const credentialIds = input.credential_id === undefined ? [] : [input.credential_id];
      const others = await readGrants(tx, sessionId, now);
      const beside = [
        ...session.vaultIds,
        ...(await vaultsOfPublication(tx, session.publicationId)),
        ...others.flatMap(({ vaultId }) => vaultId ?? []),
      ];
      await refusePassthroughOfSession(tx, session.publicationId, { vaultIds, credentialIds }, beside);
      await refuseTiesAmong(
        tx,
        [...beside, ...vaultIds],
        [...others.flatMap(({ credentialId }) => credentialId ?? []), ...credentialIds],
      );
      const [stored] = await tx
        .insert(credentialGrants)
        .values({
          ...{ id: newId('grant'), organizationId, sessionId, expiresAt },
          vaultId: input.vault_id ?? null,
          credentialId: input.credential_id ?? null,
          span: expiresAt ? 'until' : input.turn === 'current' ? 'current_turn' : 'next_turn',
          turnId: input.turn === 'current' ? await runningTurn(tx, sessionId) : null,
        })
        .returning();
      if (!stored) throw new ApiError('api_error', 'The grant was not stored.');
      return stored;
    });
    return c.json(showGrant(row), 201);
  });

  app.get(path, async (c) => {
    const query = readQuery(c, z.object(pageParameters()));
    const after = decodeCursor(query.page);
    const sessionId = c.req.param('id');
    const rows = await withOrganization(database, c.var.caller.organizationId, async (tx) => {
      await requireSession(tx, sessionId);
      return tx
        .select()
        .from(credentialGrants)
        .where(
          and(
            eq(credentialGrants.sessionId, sessionId),
            after === undefined ? undefined : lt(credentialGrants.id, after),
          ),
        )
        .orderBy(desc(credentialGrants.id))
        .limit(query.limit + 1);
    });
    return c.json(toPage(rows, query.limit, (row) => row.id, showGrant));
  });

  app.delete(`${path}/:grant`, async (c) => {
    const { id: sessionId, grant: id } = c.req.param();
    await withOrganization(database, c.var.caller.organizationId, async (tx) => {
      const gone = await tx
        .delete(credentialGrants)
        .where(and(eq(credentialGrants.id, id), eq(credentialGrants.sessionId, sessionId)))
        .returning();
      if (gone.length === 0) throw notFound('credential grant', id);
    });
    return c.json({ id, type: 'credential_grant_deleted' });
  });
}

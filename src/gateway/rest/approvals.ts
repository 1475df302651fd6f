import { and, asc, desc, eq, inArray, lt } from 'drizzle-orm';
import type { Hono } from 'hono';
import { z } from 'zod';
import { capabilityWords } from '../../capabilities/words.ts';
import { vote } from '../../outbound/approvals/decide.ts';
import type { RefusalCode } from '../../outbound/approvals/verdict.ts';
import type { Transaction } from '../../store/connection.ts';
import { withOrganization } from '../../store/organization.ts';
import {
  actions,
  agents,
  agentVersions,
  approvals,
  approvalVotes,
  type PublicationSetup,
  publications,
} from '../../store/schema.ts';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps } from '../deps.ts';
import { ApiError, notFound, readJson, readQuery } from '../errors.ts';
import { decodeCursor, pageParameters, toPage } from '../listing.ts';

interface Row {
  approval: typeof approvals.$inferSelect;
  capability: string;
  tool: string;
  /** The publication's, with its agent's newest version. */
  setup: PublicationSetup;
  agentName: string;
}
type Vote = typeof approvalVotes.$inferSelect;

/** Who holds a key or the console's cookie decides as one voter, whoever that is. */
const apiVoter = { id: 'api', name: 'an admin', kind: 'api', hasAuthority: true } as const;
const forbidden: ReadonlySet<RefusalCode> = new Set<RefusalCode>(['asker', 'bot', 'not_an_approver']);

function show({ approval, capability, tool, setup, agentName }: Row, votes: readonly Vote[]) {
  const name = capability.slice(capability.indexOf(':') + 1);
  return {
    id: approval.id,
    type: 'approval',
    session_id: approval.sessionId,
    action_id: approval.actionId,
    publication_id: approval.publicationId,
    publication_name: setup.name ?? agentName,
    provider: approval.provider,
    capability,
    capability_words: capabilityWords[approval.provider][name] ?? capability,
    tool,
    shown: approval.shown,
    askers: approval.askers,
    rules: approval.rules,
    votes: votes.map((each) => ({
      voter_id: each.voterId,
      voter_name: each.voterName,
      decision: each.decision,
      created_at: each.createdAt,
    })),
    state: approval.state,
    outcome: approval.outcome,
    created_at: approval.createdAt,
    expires_at: approval.expiresAt,
    decided_at: approval.decidedAt,
  };
}

async function withVotes(tx: Transaction, rows: readonly Row[]) {
  const ids = rows.map(({ approval }) => approval.id);
  const votes =
    ids.length === 0
      ? []
      : await tx
          .select()
          .from(approvalVotes)
          .where(inArray(approvalVotes.approvalId, ids))
          .orderBy(asc(approvalVotes.createdAt));
  return rows.map((row) => ({ row, votes: votes.filter((each) => each.approvalId === row.approval.id) }));
}

const select = (tx: Transaction) =>
  tx
    .select({
      approval: approvals,
      capability: actions.capability,
      tool: actions.tool,
      setup: publications.setup,
      agentName: agentVersions.name,
    })
    .from(approvals)
    .innerJoin(actions, eq(actions.id, approvals.actionId))
    .innerJoin(publications, eq(publications.id, approvals.publicationId))
    .innerJoin(agents, eq(agents.id, publications.agentId))
    .innerJoin(
      agentVersions,
      and(eq(agentVersions.agentId, agents.id), eq(agentVersions.version, agents.version)),
    );

/** `/v1/approvals`: what agents asked people's leave for, newest first, and the word on it. */
export function approvalRoutes(app: Hono<GatewayEnv>, deps: GatewayDeps): void {
  const { database, clock } = deps;

  const read = (organizationId: string, id: string) =>
    withOrganization(database, organizationId, async (tx) => {
      const [found] = await withVotes(tx, await select(tx).where(eq(approvals.id, id)));
      if (!found) throw notFound('approval', id);
      return show(found.row, found.votes);
    });

  app.get('/v1/approvals', async (c) => {
    const query = readQuery(
      c,
      z.object({
        ...pageParameters(),
        session_id: z.string().optional(),
        state: z.enum(['waiting', 'approved', 'rejected', 'expired']).optional(),
      }),
    );
    const after = decodeCursor(query.page);
    const rows = await withOrganization(database, c.var.caller.organizationId, async (tx) =>
      withVotes(
        tx,
        await select(tx)
          .where(
            and(
              query.session_id === undefined ? undefined : eq(approvals.sessionId, query.session_id),
              query.state === undefined ? undefined : eq(approvals.state, query.state),
              after === undefined ? undefined : lt(approvals.id, after),
            ),
          )
          .orderBy(desc(approvals.id))
          .limit(query.limit + 1),
      ),
    );
    return c.json(
      toPage(
        rows,
        query.limit,
        ({ row }) => row.approval.id,
        ({ row, votes }) => show(row, votes),
      ),
    );
  });

  app.get('/v1/approvals/:id', async (c) =>
    c.json(await read(c.var.caller.organizationId, c.req.param('id'))),
  );

  app.post('/v1/approvals/:id/decide', async (c) => {
    const { decision } = await readJson(c, z.strictObject({ decision: z.enum(['approve', 'reject']) }));
    const { organizationId } = c.var.caller;
    const approvalId = c.req.param('id');
    const { approvals: dependencies } = deps;
    if (!dependencies)
      throw new ApiError('unavailable_error', 'This gateway does not decide over approvals.');
    const outcome = await withOrganization(database, organizationId, (tx) =>
      vote(tx, dependencies, {
        approvalId,
        anchorId: undefined,
        decision,
        voter: apiVoter,
        now: clock(),
      }),
    );
    if (outcome.kind === 'refused') {
      if (outcome.code === 'unknown') throw notFound('approval', approvalId);
      throw new ApiError(forbidden.has(outcome.code) ? 'permission_error' : 'conflict_error', outcome.reason);
    }
    return c.json(await read(organizationId, approvalId));
  });
}

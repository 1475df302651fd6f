import { and, desc, eq, isNull, lt } from 'drizzle-orm';
import type { Hono } from 'hono';
import { z } from 'zod';
import { programNames, programProblem } from '../../agents/profiles/names.ts';
import type { Transaction } from '../../store/connection.ts';
import { newId } from '../../store/ids.ts';
import { withOrganization } from '../../store/organization.ts';
import { type AgentModel, agents, agentVersions } from '../../store/schema.ts';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps } from '../deps.ts';
import { ApiError, notFound, readJson, readQuery } from '../errors.ts';
import { decodeCursor, pageParameters, toPage } from '../listing.ts';

const model = z
  .union([z.string().min(1).max(200), z.strictObject({ id: z.string().min(1).max(200) })], {
    error: 'must be a model name, or { id }',
  })
  .transform((value): AgentModel => (typeof value === 'string' ? { id: value } : value));
const name = z.string().trim().min(1).max(256);
const description = z.string().max(2_048);
const system = z.string().max(100_000);
/** Null deletes a key. */
export const metadataChanges = z.record(z.string().min(1).max(64), z.string().max(512).nullable()).optional();

export const metadata = z
  .record(z.string().min(1).max(64), z.string().max(512))
  .refine((pairs) => Object.keys(pairs).length <= 16, 'at most 16 pairs');

const program = z.enum(programNames);
/** What is executed in the sandbox: a path or a name there, and its arguments. */
const programCommand = z.array(z.string().max(4_096)).min(1).max(100);

const createInput = z.strictObject({
  name,
  model,
  program: program.default('builtin'),
  program_command: programCommand.nullish(),
  description: description.nullish(),
  system: system.nullish(),
  metadata: metadata.default({}),
});

const updateInput = z.strictObject({
  /** The version that the caller has seen; another one in the meantime is a conflict. */
  version: z.int().positive().optional(),
  name: name.optional(),
  model: model.optional(),
  program: program.optional(),
  program_command: programCommand.nullish(),
  description: description.nullish(),
  system: system.nullish(),
  metadata: metadataChanges,
});

type AgentRow = typeof agents.$inferSelect;
type VersionRow = typeof agentVersions.$inferSelect;

/** An agent as the Managed Agents API shows it; what we have no word for yet is empty. */
export function showAgent(agent: AgentRow, version: VersionRow) {
  return {
    id: agent.id,
    type: 'agent',
    version: version.version,
    name: version.name,
    description: version.description,
    system: version.system,
    model: version.model,
    program: version.program,
    program_command: version.programCommand,
    tools: [],
    mcp_servers: [],
    skills: [],
    multiagent: null,
    metadata: version.metadata,
    created_at: agent.createdAt,
    updated_at: version.version === agent.version ? agent.updatedAt : version.createdAt,
    archived_at: agent.archivedAt,
  };
}

async function readAgent(tx: Transaction, id: string, version?: number) {
  const [row] = await tx
    .select()
    .from(agents)
    .innerJoin(agentVersions, eq(agentVersions.agentId, agents.id))
    .where(and(eq(agents.id, id), eq(agentVersions.version, version ?? agents.version)));
  if (!row) throw notFound(version === undefined ? 'agent' : `version ${version} of agent`, id);
  return row;
}

/** `/v1/agents`: make, read, change (which makes a new version), archive. */
export function agentRoutes(app: Hono<GatewayEnv>, { database, clock }: GatewayDeps): void {
  app.post('/v1/agents', async (c) => {
    const { program_command, ...input } = await readJson(c, createInput);
    const programCommand = program_command ?? null;
    checkProgram({ ...input, programCommand });
    const { organizationId } = c.var.caller;
    const id = newId('agent');
    const shown = await withOrganization(database, organizationId, async (tx) => {
      const [agent] = await tx.insert(agents).values({ id, organizationId }).returning();
      const [version] = await tx
        .insert(agentVersions)
        .values({ ...input, programCommand, organizationId, agentId: id, version: 1 })
        .returning();
      if (!agent || !version) throw new ApiError('api_error', 'The agent was not stored.');
      return showAgent(agent, version);
    });
    return c.json(shown, 201);
  });

  app.get('/v1/agents', async (c) => {
    const query = readQuery(
      c,
      z.object({ ...pageParameters(), include_archived: z.enum(['true', 'false']).default('false') }),
    );
    const after = decodeCursor(query.page);
    const rows = await withOrganization(database, c.var.caller.organizationId, (tx) =>
      tx
        .select()
        .from(agents)
        .innerJoin(
          agentVersions,
          and(eq(agentVersions.agentId, agents.id), eq(agentVersions.version, agents.version)),
        )
        .where(
          and(
            after === undefined ? undefined : lt(agents.id, after),
            query.include_archived === 'true' ? undefined : isNull(agents.archivedAt),
          ),
        )
        .orderBy(desc(agents.id))
        .limit(query.limit + 1),
    );
    return c.json(
      toPage(
        rows,
        query.limit,
        (row) => row.agents.id,
        (row) => showAgent(row.agents, row.agent_versions),
      ),
    );
  });

  app.get('/v1/agents/:id', async (c) => {
    const { version } = readQuery(c, z.object({ version: z.coerce.number().int().positive().optional() }));
    const row = await withOrganization(database, c.var.caller.organizationId, (tx) =>
      readAgent(tx, c.req.param('id'), version),
    );
    return c.json(showAgent(row.agents, row.agent_versions));
  });

  app.get('/v1/agents/:id/versions', async (c) => {
    const query = readQuery(c, z.object(pageParameters()));
    const after = decodeCursor(query.page);
    const { agent, rows } = await withOrganization(database, c.var.caller.organizationId, async (tx) => ({
      agent: (await readAgent(tx, c.req.param('id'))).agents,
      rows: await tx
        .select()
        .from(agentVersions)
        .where(
          and(
            eq(agentVersions.agentId, c.req.param('id')),
            after === undefined ? undefined : lt(agentVersions.version, Number(after) || 0),
          ),
        )
        .orderBy(desc(agentVersions.version))
        .limit(query.limit + 1),
    }));
    return c.json(
      toPage(
        rows,
        query.limit,
        (row) => row.version,
        (row) => showAgent(agent, row),
      ),
    );
  });

  app.post('/v1/agents/:id', async (c) => {
    const { version: seen, metadata: changes, program_command, ...input } = await readJson(c, updateInput);
    const { organizationId } = c.var.caller;
    const id = c.req.param('id');
    const shown = await withOrganization(database, organizationId, async (tx) => {
      await tx.select({ id: agents.id }).from(agents).where(eq(agents.id, id)).for('update');
      const { agents: agent, agent_versions: current } = await readAgent(tx, id);
      if (agent.archivedAt) throw new ApiError('conflict_error', `Agent ${id} is archived.`);
      if (seen !== undefined && seen !== agent.version) {
        throw new ApiError(
          'conflict_error',
          `Agent ${id} is at version ${agent.version}, not ${seen}: read it again and repeat the change.`,
        );
      }
      const given = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== undefined));
      const next = {
        ...current,
        ...given,
        ...(program_command === undefined ? {} : { programCommand: program_command }),
        // The command belongs to `custom`; another program has its own.
        ...(input.program !== undefined && input.program !== 'custom' && !program_command
          ? { programCommand: null }
          : {}),
        metadata: mergeMetadata(current.metadata, changes),
        version: agent.version + 1,
        createdAt: clock(),
      };
      checkProgram(next);
      const [version] = await tx.insert(agentVersions).values(next).returning();
      const [updated] = await tx
        .update(agents)
        .set({ version: next.version, updatedAt: next.createdAt })
        .where(eq(agents.id, id))
        .returning();
      if (!version || !updated) throw notFound('agent', id);
      return showAgent(updated, version);
    });
    return c.json(shown);
  });

  app.post('/v1/agents/:id/archive', async (c) => {
    const id = c.req.param('id');
    const row = await withOrganization(database, c.var.caller.organizationId, async (tx) => {
      await tx
        .update(agents)
        .set({ archivedAt: clock() })
        .where(and(eq(agents.id, id), isNull(agents.archivedAt)));
      return readAgent(tx, id);
    });
    return c.json(showAgent(row.agents, row.agent_versions));
  });
}

function checkProgram(agent: { program: string; programCommand: string[] | null; model: AgentModel }): void {
  const problem = programProblem(program.parse(agent.program), agent.model.id, agent.programCommand);
  if (problem) throw new ApiError('invalid_request_error', problem);
}

/** In an update a null deletes the key. The result must keep to the same bounds. */
export function mergeMetadata(
  current: Record<string, string>,
  changes: Record<string, string | null> | undefined,
): Record<string, string> {
  const merged: Record<string, string | null> = { ...current, ...changes };
  const kept = Object.fromEntries(Object.entries(merged).filter(([, value]) => value !== null));
  const parsed = metadata.safeParse(kept);
  if (!parsed.success) throw new ApiError('invalid_request_error', 'metadata: at most 16 pairs');
  return parsed.data;
}

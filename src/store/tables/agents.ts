import { foreignKey, integer, jsonb, pgTable, primaryKey, text, unique } from 'drizzle-orm/pg-core';
import { at, now } from './columns.ts';
import { organizationId } from './organizations.ts';

export const agents = pgTable(
  'agents',
  {
    id: text('id').primaryKey(),
    organizationId: organizationId(),
    version: integer('version').notNull().default(1),
    createdAt: now('created_at'),
    updatedAt: now('updated_at'),
    archivedAt: at('archived_at'),
  },
  (t) => [unique().on(t.organizationId, t.id)],
);

export interface AgentModel {
  /** `claude-…` or another Anthropic model name, or `openai/<name>` for an OpenAI-compatible one. */
  id: string;
}

export const agentVersions = pgTable(
  'agent_versions',
  {
    organizationId: organizationId(),
    agentId: text('agent_id').notNull(),
    version: integer('version').notNull(),
    name: text('name').notNull(),
    description: text('description'),
    model: jsonb('model').$type<AgentModel>().notNull(),
    system: text('system'),
    /** Which agent program runs it. */
    program: text('program').notNull().default('builtin'),
    /** For the program `custom`: what is executed in the sandbox. */
    programCommand: jsonb('program_command').$type<string[]>(),
    metadata: jsonb('metadata').$type<Record<string, string>>().notNull().default({}),
    createdAt: now('created_at'),
  },
  (t) => [
    primaryKey({ columns: [t.agentId, t.version] }),
    foreignKey({
      columns: [t.organizationId, t.agentId],
      foreignColumns: [agents.organizationId, agents.id],
    }).onDelete('cascade'),
  ],
);

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ne } from 'drizzle-orm';
import type { Config } from './config.ts';
import { createPublication } from './gateway/publish/create.ts';
import type { Publishing } from './gateway-role.ts';
import type { Database } from './store/connection.ts';
import type { Home } from './store/home.ts';
import { newId } from './store/ids.ts';
import { withOrganization } from './store/organization.ts';
import { agents, agentVersions, type ProviderName, publications } from './store/schema.ts';
import { startWorkplaceProcess, type WorkplaceHandle } from './workplace/client.ts';

const workplaceAgent = {
  name: 'Ada',
  system: 'You help the people of this workspace. Be friendly, exact and brief.',
  model: 'claude-sonnet-4-5',
  openaiModel: 'openai/gpt-5.1',
} as const;
const providers = ['slack', 'github', 'linear'] as const satisfies readonly ProviderName[];

const workplaceFolder = (home: Home): string => join(home.private, 'workplace');

const hasNoModel = ({ models }: Config): boolean =>
  Object.values(models).every(({ apiKey }) => apiKey === undefined);

/** Only a process that is the whole server emulates: between several, each would have a workplace of its own. */
const isWholeServer = ({ roles }: Config): boolean => roles.includes('gateway') && roles.includes('worker');

/** Whether the workplace will most likely run: known before the database is, so that both can start at once. */
export function expectsWorkplace(config: Config, home: Home, hasData: boolean): boolean {
  const emulates = existsSync(workplaceFolder(home)) || (config.databaseUrl === undefined && !hasData);
  return (isWholeServer(config) && emulates) || (config.roles.includes('worker') && hasNoModel(config));
}

/**
 * The workplace runs while nothing is published, and for as long as something is published into it. Its offline model
 * runs wherever there is no real one.
 */
export async function wantsWorkplace(config: Config, database: Database): Promise<boolean> {
  const published = await database
    .select({ emulated: publications.emulated })
    .from(publications)
    .where(ne(publications.state, 'unpublished'));
  const emulates = published.length === 0 || published.some((publication) => publication.emulated);
  return (isWholeServer(config) && emulates) || (config.roles.includes('worker') && hasNoModel(config));
}

export function startWorkplaceRole(config: Config, home: Home): Promise<WorkplaceHandle> {
  return startWorkplaceProcess({
    folder: workplaceFolder(home),
    agentName: workplaceAgent.name,
    offlineModel: hasNoModel(config),
  });
}

/** Tells the workplace where its webhooks go; the first time, publishes one agent into all three of its providers. */
export async function openWorkplace(
  workplace: WorkplaceHandle,
  publishing: Publishing,
  organizationId: string,
  config: Config,
): Promise<void> {
  const { database } = publishing;
  const known = await withOrganization(database, organizationId, (tx) =>
    tx.select().from(publications).where(ne(publications.state, 'unpublished')),
  );
  // The workplace's own agent: what was published into it by the guided flow has an app of its own there.
  const own = known.filter((each) => each.emulated && each.setup.flow === undefined);
  const ids = new Map(own.map((each) => [each.provider, each.id]));
  const isFirst = isWholeServer(config) && known.length === 0;
  if (isFirst || ids.size > 0) {
    const agentId = own[0]?.agentId ?? (await createAgent(database, organizationId, config));
    for (const provider of providers) {
      if (ids.has(provider)) continue;
      const credentials = workplace.credentials[provider];
      const input = { provider, agentId, credentials, emulated: true };
      ids.set(provider, await createPublication(publishing, organizationId, input));
    }
  }
  const url = (provider: ProviderName) => {
    const id = ids.get(provider);
    return id === undefined ? {} : { [provider]: `${publishing.config.baseUrl}/webhooks/${provider}/${id}` };
  };
  await workplace.setWebhookUrls({ ...url('slack'), ...url('github'), ...url('linear') });
}

async function createAgent(database: Database, organizationId: string, config: Config): Promise<string> {
  const id = newId('agent');
  const onlyOpenai =
    config.models.anthropic.apiKey === undefined && config.models.openai.apiKey !== undefined;
  const model = { id: onlyOpenai ? workplaceAgent.openaiModel : workplaceAgent.model };
  await withOrganization(database, organizationId, async (tx) => {
    await tx.insert(agents).values({ id, organizationId });
    const { name, system } = workplaceAgent;
    await tx.insert(agentVersions).values({ organizationId, agentId: id, version: 1, name, system, model });
  });
  return id;
}

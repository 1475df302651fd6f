import type { Database } from '../../src/store/connection.ts';
import { newId } from '../../src/store/ids.ts';
import {
  agents,
  agentVersions,
  anchors,
  type Grant,
  type InstallationIdentity,
  installations,
  organizations,
  type ProviderName,
  publications,
  sessions,
} from '../../src/store/schema.ts';

export interface Fixture {
  organizationId: string;
  agentId: string;
  publicationId: string;
  installationId: string;
  sessionId: string;
  anchorId: string;
  provider: ProviderName;
}

export interface FixtureOptions {
  provider?: ProviderName;
  capabilities?: Record<string, Grant>;
  policy?: Record<string, unknown>;
  identity?: InstallationIdentity;
  place?: Record<string, string>;
  anchorKey?: string;
  emulated?: boolean;
}

const places: Record<ProviderName, Record<string, string>> = {
  slack: { team: 'T1', channel: 'C1', thread_ts: '1700000000.000100' },
  github: { owner: 'acme', repo: 'widgets', number: '7' },
  linear: {
    agent_session_id: '11111111-1111-4111-8111-111111111111',
    issue_id: '22222222-2222-4222-8222-222222222222',
  },
};

/** An organization with one live publication, its installation, one session, and the anchor that it answers in. */
export async function createFixture(database: Database, options: FixtureOptions = {}): Promise<Fixture> {
  const provider = options.provider ?? 'slack';
  const fixture: Fixture = {
    organizationId: newId('org'),
    agentId: newId('agent'),
    publicationId: newId('pub'),
    installationId: newId('inst'),
    sessionId: newId('sesn'),
    anchorId: newId('anchor'),
    provider,
  };
  const { organizationId, agentId, publicationId, installationId, sessionId, anchorId } = fixture;
  await database.insert(organizations).values({ id: organizationId, name: 'Acme' });
  await database.insert(agents).values({ id: agentId, organizationId });
  await database
    .insert(agentVersions)
    .values({ organizationId, agentId, version: 1, name: 'Ada', model: { id: 'claude-test' } });
  await database.insert(publications).values({
    id: publicationId,
    organizationId,
    agentId,
    provider,
    state: 'live',
    capabilities: options.capabilities ?? {},
    policy: options.policy ?? {},
    emulated: options.emulated ?? false,
  });
  await database.insert(installations).values({
    id: installationId,
    organizationId,
    publicationId,
    provider,
    identity: options.identity ?? {
      workspaceId: 'W1',
      appId: 'A1',
      userId: 'UBOT',
      botId: 'BBOT',
      handle: 'ada',
    },
  });
  await database
    .insert(sessions)
    .values({ id: sessionId, organizationId, agentId, agentVersion: 1, publicationId, installationId });
  await database.insert(anchors).values({
    id: anchorId,
    organizationId,
    publicationId,
    installationId,
    sessionId,
    provider,
    key: options.anchorKey ?? `${provider}-1`,
    place: options.place ?? places[provider],
  });
  return fixture;
}

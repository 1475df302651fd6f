import type { Hono } from 'hono';
import type { Clock } from '../clock.ts';
import { type DeliveryState, WebhookSender } from '../deliveries.ts';
import { type Emulator, startEmulatorInTurn, type TokenHolder } from '../emulator.ts';
import type { WorkplaceSecrets } from '../secrets.ts';
import { people, seeds, slugOf } from '../seeds.ts';
import { type GithubAppRecord, GithubApps } from './apps.ts';
import { decorate, type GithubAppIdentity } from './decorate.ts';
import { githubFront } from './front.ts';
import { type Reaction, Reactions } from './reactions.ts';
import { GithubTables } from './tables.ts';
import { appPayloads, githubDeliveryPolicy } from './webhooks.ts';

export interface GithubState {
  emulator: unknown;
  tokens: [string, TokenHolder][];
  tokenExpiries: [string, number][];
  reactions: Reaction[];
  deliveries: DeliveryState;
  /** Absent in states that were saved before apps could be made. */
  apps?: GithubAppRecord[];
}

export interface GithubSiteOptions {
  baseUrl: string;
  agentName: string;
  secrets: WorkplaceSecrets['github'];
  clock: Clock;
  fetch: typeof fetch;
  changed(): void;
  state?: GithubState;
}

/** The emulated GitHub: its REST API, and the App webhooks that it sends. */
export interface GithubSite {
  app: Hono;
  tables: GithubTables;
  reactions: Reactions;
  identity: GithubAppIdentity;
  sender: WebhookSender;
  /** Made from manifests, beside the workplace's own app. */
  apps: GithubApps;
  state(): GithubState;
}

const permissions = {
  metadata: 'read',
  issues: 'write',
  pull_requests: 'write',
  contents: 'write',
  checks: 'write',
  statuses: 'read',
  actions: 'read',
};

const events = [
  'issues',
  'issue_comment',
  'pull_request',
  'pull_request_review',
  'pull_request_review_comment',
  'push',
];

/** Starts the site, from its saved state when there is one. */
export async function startGithub(options: GithubSiteOptions): Promise<GithubSite> {
  const { secrets, agentName, clock, changed, state } = options;
  const identity: GithubAppIdentity = { id: secrets.appId, slug: slugOf(agentName), name: agentName };
  const reactions = new Reactions(state?.reactions);
  const sender = new WebhookSender({
    policy: githubDeliveryPolicy(secrets.appId, secrets.webhookSecret),
    clock,
    fetch: options.fetch,
    changed,
    ...(state ? { state: state.deliveries } : {}),
  });
  const installation = { id: secrets.installationId, node_id: nodeId(secrets.installationId) };
  const tell = (
    event: string,
    payload: unknown,
    app: GithubAppIdentity,
    installedAs: { id: number; node_id: string },
    to: WebhookSender,
  ) => {
    const body = decorate(payload, reactions, app) as Record<string, unknown>;
    const owner = (body.repository as { owner?: { type?: string } } | undefined)?.owner;
    const organization = owner?.type === 'Organization' ? { organization: owner } : {};
    for (const whole of appPayloads(event, body, { ...organization, installation: installedAs })) {
      void to.send(event, whole);
    }
  };
  let made: GithubApps | undefined;
  const emulator: Emulator = await startEmulatorInTurn({
    service: 'github',
    baseUrl: options.baseUrl,
    seed: seedOf(options, identity),
    dispatch: async (event, _action, payload) => {
      changed();
      if (events.includes(event)) tell(event, payload, identity, installation, sender);
      for (const app of made?.all() ?? []) {
        const id = Number(made?.installationOf(app)?.installation_id);
        if (!id || made?.isSuspended(id) || !app.record.events.includes(event)) continue;
        tell(event, payload, app.identity, { id, node_id: nodeId(id) }, app.sender);
      }
    },
  });
  const tables = new GithubTables(emulator);
  const tokenExpiries = new Map(state?.tokenExpiries);
  if (state) {
    emulator.restore(state.emulator);
    for (const [token, holder] of state.tokens) emulator.tokens.set(token, holder);
  } else furnish(emulator, tables, identity);
  const apps = new GithubApps({
    emulator,
    tables,
    clock,
    fetch: options.fetch,
    changed,
    ...(state?.apps ? { records: state.apps } : {}),
  });
  made = apps;
  return {
    apps,
    app: githubFront({ emulator, tables, reactions, sender, identity, apps, tokenExpiries, clock, changed }),
    tables,
    reactions,
    identity,
    sender,
    state: () => ({
      emulator: emulator.snapshot(),
      tokens: [...emulator.tokens],
      tokenExpiries: [...tokenExpiries],
      reactions: reactions.state(),
      deliveries: sender.state(),
      apps: apps.state(),
    }),
  };
}

function nodeId(id: number): string {
  return Buffer.from(`Installation${id}`).toString('base64url');
}

function seedOf({ secrets }: GithubSiteOptions, identity: GithubAppIdentity) {
  const { owner, name, description } = seeds.repository;
  return {
    tokens: Object.fromEntries(
      people.map(({ id, handle }) => [
        secrets.personTokens[id] ?? '',
        { login: handle, scopes: ['repo', 'user'] },
      ]),
    ),
    github: {
      users: people.map((person) => ({ login: person.handle, name: person.name, email: person.email })),
      orgs: [
        {
          login: owner,
          name: seeds.company,
          members: people
            .filter(({ standing }) => standing === 'owner')
            .map(({ handle }) => ({ login: handle, role: 'admin' })),
        },
      ],
      repos: [{ owner, name, description, auto_init: true }],
      apps: [
        {
          app_id: secrets.appId,
          slug: identity.slug,
          name: identity.name,
          private_key: secrets.privateKey,
          permissions,
          events,
          webhook_secret: secrets.webhookSecret,
          installations: [
            { installation_id: secrets.installationId, account: owner, repository_selection: 'all' },
          ],
        },
      ],
    },
  };
}

/** The bot's own user, and the members' access. */
function furnish(emulator: Emulator, tables: GithubTables, identity: GithubAppIdentity): void {
  const { id: _id, ...fields } = emulator.table('users').all()[0] ?? { id: 0 };
  const login = `${identity.slug}[bot]`;
  emulator.table('users').insert({ ...fields, login, name: identity.name, type: 'Bot', email: null });
  const repository = tables.repository(`${seeds.repository.owner}/${seeds.repository.name}`);
  for (const { handle, standing } of people) {
    const user = tables.userByLogin(handle);
    if (!repository || !user || standing !== 'member') continue;
    emulator.table('collaborators').insert({ repo_id: repository.id, user_id: user.id, permission: 'push' });
  }
}

import { generateKeyPairSync, randomBytes, randomInt } from 'node:crypto';
import type { GithubManifest } from '../../providers/github/manifest-schema.ts';
import type { Clock } from '../clock.ts';
import { type DeliveryState, WebhookSender } from '../deliveries.ts';
import type { Emulator } from '../emulator.ts';
import { slugOf } from '../seeds.ts';
import type { GithubAppIdentity } from './decorate.ts';
import type { GithubTables } from './tables.ts';
import { githubDeliveryPolicy } from './webhooks.ts';

/** An app that somebody made from a manifest; plain data, saved as it is. */
export interface GithubAppRecord {
  appId: number;
  slug: string;
  name: string;
  clientId: string;
  clientSecret: string;
  webhookSecret: string;
  privateKey: string;
  hookUrl: string;
  setupUrl: string;
  redirectUrl: string;
  isPublic: boolean;
  owner: string;
  permissions: Record<string, string>;
  events: string[];
  /** The code that becomes its credentials, once and for an hour. */
  code: { value: string; expiresAtMs: number } | null;
  deliveries: DeliveryState;
}

export interface GithubApp {
  record: GithubAppRecord;
  identity: GithubAppIdentity;
  sender: WebhookSender;
}

export interface GithubAppsOptions {
  emulator: Emulator;
  tables: GithubTables;
  clock: Clock;
  fetch: typeof fetch;
  changed(): void;
  records?: GithubAppRecord[];
}

const hourMs = 3_600_000;

/** The apps of the emulated GitHub that were made from manifests, beside the workplace's own. */
export class GithubApps {
  readonly #options: GithubAppsOptions;
  readonly #apps: GithubApp[];

  constructor(options: GithubAppsOptions) {
    this.#options = options;
    this.#apps = (options.records ?? []).map((record) => this.#open(record));
  }

  state(): GithubAppRecord[] {
    return this.#apps.map(({ record }) => record);
  }

  all(): readonly GithubApp[] {
    return this.#apps;
  }

  bySlug(slug: string): GithubApp | undefined {
    return this.#apps.find(({ record }) => record.slug === slug);
  }

  byId(appId: number): GithubApp | undefined {
    return this.#apps.find(({ record }) => record.appId === appId);
  }

  isNameTaken(name: string): boolean {
    return this.#options.emulator.table('apps').findBy('slug', slugOf(name)).length > 0;
  }

  /** Makes an app of a valid manifest. Its code comes back by the browser. */
  create(manifest: GithubManifest, owner: string): GithubApp {
    const { emulator, clock, changed } = this.#options;
    const { privateKey } = generateKeyPairSync('rsa', {
      modulusLength: 2048,
      privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
      publicKeyEncoding: { type: 'pkcs1', format: 'pem' },
    });
    const record: GithubAppRecord = {
      appId: randomInt(1_000_000, 9_999_999),
      slug: slugOf(manifest.name),
      name: manifest.name,
      clientId: `Iv23li${randomBytes(7).toString('hex')}`,
      clientSecret: randomBytes(20).toString('hex'),
      webhookSecret: randomBytes(20).toString('hex'),
      privateKey,
      hookUrl: manifest.hook_attributes.url,
      setupUrl: manifest.setup_url,
      redirectUrl: manifest.redirect_url,
      isPublic: manifest.public,
      owner,
      permissions: { metadata: 'read', ...manifest.default_permissions },
      events: manifest.default_events,
      code: { value: randomBytes(20).toString('hex'), expiresAtMs: clock.now() + hourMs },
      deliveries: { pending: [], records: [], nextId: 1 },
    };
    emulator.table('apps').insert({
      app_id: record.appId,
      slug: record.slug,
      name: record.name,
      private_key: privateKey,
      permissions: record.permissions,
      events: record.events,
      webhook_url: null,
      webhook_secret: null,
      description: null,
    });
    const { id: _id, ...fields } = emulator.table('users').all()[0] ?? { id: 0 };
    const bot = { login: `${record.slug}[bot]`, name: record.name, type: 'Bot', email: null };
    emulator.table('users').insert({ ...fields, ...bot });
    const app = this.#open(record);
    this.#apps.push(app);
    changed();
    return app;
  }

  /** Takes the code of a made app, once. */
  redeem(code: string): GithubApp | undefined {
    const app = this.#apps.find(({ record }) => record.code?.value === code);
    if (!app?.record.code) return undefined;
    const isOver = app.record.code.expiresAtMs <= this.#options.clock.now();
    app.record.code = null;
    this.#options.changed();
    return isOver ? undefined : app;
  }

  installationOf({ record }: GithubApp) {
    return this.#options.emulator
      .table('app_installations')
      .all()
      .find((row) => row.app_id === record.appId);
  }

  /** Installs the app on an account, and tells it; twice is once. Answers the installation's number. */
  install(app: GithubApp, account: { id: number; login: string; type: 'User' | 'Organization' }): number {
    const { emulator, changed } = this.#options;
    const known = this.installationOf(app);
    if (known) return Number(known.installation_id);
    const installationId = randomInt(10_000_000, 99_999_999);
    emulator.table('app_installations').insert({
      installation_id: installationId,
      app_id: app.record.appId,
      account_type: account.type,
      account_id: account.id,
      account_login: account.login,
      repository_selection: 'all',
      repository_ids: [],
      permissions: app.record.permissions,
      events: app.record.events,
      suspended_at: null,
    });
    this.#tell(app, 'created', installationId, account.login);
    changed();
    return installationId;
  }

  /** Deletes the installation, and tells the app as the last that it hears of it. */
  uninstall(app: GithubApp): void {
    const { emulator, changed } = this.#options;
    const known = this.installationOf(app);
    if (!known) return;
    this.#tell(app, 'deleted', Number(known.installation_id), String(known.account_login));
    emulator.table('app_installations').delete(known.id);
    this.#endTokens(known.installation_id);
    changed();
  }

  /** The owner asks for other permissions: they count for an installation once somebody accepts them there. */
  changePermissions({ record }: GithubApp, permissions: Record<string, string>): void {
    const { emulator, changed } = this.#options;
    record.permissions = { metadata: 'read', ...permissions };
    const [row] = emulator.table('apps').findBy('app_id', record.appId);
    if (row) emulator.table('apps').update(row.id, { permissions: record.permissions });
    changed();
  }

  /** The installation is given what the app asks for now, and the app is told. */
  acceptPermissions(app: GithubApp): void {
    const { emulator, changed } = this.#options;
    const known = this.installationOf(app);
    if (!known) return;
    emulator.table('app_installations').update(known.id, { permissions: app.record.permissions });
    const [id, login] = [Number(known.installation_id), String(known.account_login)];
    this.#tell(app, 'new_permissions_accepted', id, login);
    changed();
  }

  /** Suspends the installation or lets it go on, and tells the app. While it is suspended it hears of nothing else. */
  suspend(app: GithubApp, suspended: boolean): void {
    const { emulator, clock, changed } = this.#options;
    const known = this.installationOf(app);
    if (!known || (known.suspended_at !== null) === suspended) return;
    const since = suspended ? new Date(clock.now()).toISOString() : null;
    emulator.table('app_installations').update(known.id, { suspended_at: since });
    if (suspended) this.#endTokens(known.installation_id);
    const action = suspended ? 'suspend' : 'unsuspend';
    this.#tell(app, action, Number(known.installation_id), String(known.account_login));
    changed();
  }

  isSuspended(installationId: number): boolean {
    const rows = this.#options.emulator.table('app_installations').all();
    return rows.some((row) => row.installation_id === installationId && row.suspended_at !== null);
  }

  close(): void {
    for (const { sender } of this.#apps) sender.close();
  }

  #endTokens(installationId: unknown): void {
    const { tokens } = this.#options.emulator;
    for (const [token, holder] of tokens) {
      if (holder.installation?.installationId === installationId) tokens.delete(token);
    }
  }

  #tell({ record, sender }: GithubApp, action: string, installationId: number, login: string): void {
    const { tables } = this.#options;
    const maker = tables.userByLogin('maya');
    void sender.send('installation', {
      action,
      installation: { id: installationId, app_id: record.appId, account: { login } },
      repositories: tables.repositories().map(({ id, name, full_name }) => ({ id, name, full_name })),
      sender: { login: maker?.login, id: maker?.id, type: 'User' },
    });
  }

  #open(record: GithubAppRecord): GithubApp {
    const { clock, fetch, changed } = this.#options;
    const sender = new WebhookSender({
      policy: githubDeliveryPolicy(record.appId, record.webhookSecret),
      clock,
      fetch,
      changed,
      state: record.deliveries,
    });
    sender.setUrl(record.hookUrl);
    return { record, sender, identity: { id: record.appId, slug: record.slug, name: record.name } };
  }
}

import { randomBytes, randomInt, randomUUID } from 'node:crypto';
import type { SlackManifest } from '../../providers/slack/manifest-schema.ts';
import type { Clock } from '../clock.ts';
import { type DeliveryState, WebhookSender } from '../deliveries.ts';
import type { Emulator } from '../emulator.ts';
import { slugOf } from '../seeds.ts';
import { envelope, type SlackAppIdentity, slackDeliveryPolicy } from './events.ts';
import type { SlackTables } from './tables.ts';

/** An app that somebody made from a manifest; plain data, saved as it is. */
export interface SlackAppRecord {
  appId: string;
  clientId: string;
  clientSecret: string;
  signingSecret: string;
  botId: string;
  botUserId: string;
  name: string;
  scopes: string[];
  redirectUrls: string[];
  requestUrl: string;
  events: string[];
  /** Whether the request URL answered Slack's challenge. */
  verified: boolean;
  installed: boolean;
  deliveries: DeliveryState;
}

/** An app with what sends its events. */
export interface SlackApp {
  record: SlackAppRecord;
  identity: SlackAppIdentity;
  sender: WebhookSender;
}

export interface SlackAppsOptions {
  emulator: Emulator;
  tables: SlackTables;
  teamId: () => string;
  clock: Clock;
  fetch: typeof fetch;
  changed(): void;
  records?: SlackAppRecord[];
}

const letters = (first: string) => first + randomBytes(5).toString('hex').toUpperCase();
const challengeTimeoutMs = 3_000;

/** The apps of the emulated Slack that were made from manifests, beside the workplace's own. */
export class SlackApps {
  readonly #options: SlackAppsOptions;
  readonly #apps: SlackApp[];

  constructor(options: SlackAppsOptions) {
    this.#options = options;
    this.#apps = (options.records ?? []).map((record) => this.#open(record));
  }

  state(): SlackAppRecord[] {
    return this.#apps.map(({ record }) => record);
  }

  installed(): SlackApp[] {
    return this.#apps.filter(({ record }) => record.installed);
  }

  find(wanted: { appId?: string; clientId?: string }): SlackApp | undefined {
    return this.#apps.find(
      ({ record }) => record.appId === wanted.appId || record.clientId === wanted.clientId,
    );
  }

  /** Makes an app of a valid manifest, and asks its request URL to prove itself. */
  async create(manifest: SlackManifest): Promise<SlackApp> {
    const { emulator } = this.#options;
    const name = manifest.display_information.name;
    const record: SlackAppRecord = {
      appId: letters('A'),
      clientId: `${randomInt(1e11, 1e12)}.${randomInt(1e11, 1e12)}`,
      clientSecret: randomBytes(16).toString('hex'),
      signingSecret: randomBytes(16).toString('hex'),
      botId: letters('B'),
      botUserId: letters('U'),
      name,
      scopes: manifest.oauth_config.scopes.bot,
      redirectUrls: manifest.oauth_config.redirect_urls,
      requestUrl: manifest.settings.event_subscriptions.request_url,
      events: manifest.settings.event_subscriptions.bot_events,
      verified: false,
      installed: false,
      deliveries: { pending: [], records: [], nextId: 1 },
    };
    emulator.table('oauth_apps').insert({
      app_id: record.appId,
      client_id: record.clientId,
      client_secret: record.clientSecret,
      name,
      redirect_uris: record.redirectUrls,
      scopes: record.scopes,
      user_scopes: [],
      bot_id: record.botId,
      bot_user_id: record.botUserId,
      bot_name: this.#handle(name),
    });
    const app = this.#open(record);
    this.#apps.push(app);
    await this.challenge(app);
    this.#options.changed();
    return app;
  }

  /** Takes a changed manifest over: what may be asked for at the next installation. The token keeps what it was given. */
  change({ record }: SlackApp, manifest: SlackManifest): void {
    const { emulator, changed } = this.#options;
    record.scopes = manifest.oauth_config.scopes.bot;
    record.redirectUrls = manifest.oauth_config.redirect_urls;
    record.events = manifest.settings.event_subscriptions.bot_events;
    const [row] = emulator.table('oauth_apps').findBy('app_id', record.appId);
    if (row) {
      emulator
        .table('oauth_apps')
        .update(row.id, { scopes: record.scopes, redirect_uris: record.redirectUrls });
    }
    changed();
  }

  /** Slack's `url_verification`, signed like everything that it sends. */
  async challenge({ record }: SlackApp): Promise<boolean> {
    const { clock, changed } = this.#options;
    const challenge = randomBytes(24).toString('base64url');
    const payload = { token: 'deprecated', challenge, type: 'url_verification' };
    const pending = { id: randomUUID(), event: 'url_verification', payload, attempts: 1, dueAtMs: 0 };
    const { headers, body } = slackDeliveryPolicy(record.signingSecret).request(pending, clock.now());
    try {
      const signal = AbortSignal.timeout(challengeTimeoutMs);
      const init = { method: 'POST', headers, body, signal, redirect: 'manual' } as const;
      const answer = await this.#options.fetch(record.requestUrl, init);
      const text = await answer.text();
      record.verified = answer.status === 200 && (text === challenge || text.includes(`"${challenge}"`));
    } catch {
      record.verified = false;
    }
    changed();
    return record.verified;
  }

  /** The app came into the workspace: its bot joins the channels, as if somebody had invited it. */
  install({ record }: SlackApp): void {
    const { emulator, tables, changed } = this.#options;
    record.installed = true;
    for (const channel of tables.channels()) {
      if (channel.is_im || channel.is_mpim || channel.members.includes(record.botUserId)) continue;
      const members = [...channel.members, record.botUserId];
      emulator.table('channels').update(channel.id, { members, num_members: members.length });
    }
    changed();
  }

  /** The app leaves: its tokens end, and it is told so, as the last that it hears. */
  uninstall(app: SlackApp): void {
    const { emulator, changed, clock } = this.#options;
    const { record, identity, sender } = app;
    for (const row of emulator.table('tokens').findBy('app_id', record.appId)) {
      emulator.table('tokens').delete(row.id);
    }
    if (record.installed) {
      const revoked = { type: 'tokens_revoked', tokens: { bot: [record.botUserId] } };
      for (const event of [revoked, { type: 'app_uninstalled' }]) {
        const whole = envelope(identity, event, clock.now());
        void sender.send(event.type, whole, whole.event_id);
      }
    }
    record.installed = false;
    changed();
  }

  close(): void {
    for (const { sender } of this.#apps) sender.close();
  }

  #handle(name: string): string {
    const wanted = slugOf(name);
    const taken = new Set(this.#options.tables.users().map((user) => user.name));
    const made = new Set(
      this.#options.emulator
        .table('oauth_apps')
        .all()
        .map((row) => String(row.bot_name)),
    );
    for (let n = 1; ; n++) {
      const handle = n === 1 ? wanted : `${wanted}${n}`;
      if (!taken.has(handle) && !made.has(handle)) return handle;
    }
  }

  #open(record: SlackAppRecord): SlackApp {
    const { clock, fetch, changed, teamId } = this.#options;
    const sender = new WebhookSender({
      policy: slackDeliveryPolicy(record.signingSecret),
      clock,
      fetch,
      changed,
      state: record.deliveries,
    });
    sender.setUrl(record.requestUrl);
    const identity = { teamId: teamId(), appId: record.appId, botUserId: record.botUserId };
    return { record, identity, sender };
  }
}

import { hash, randomBytes, randomUUID } from 'node:crypto';
import type { LinearManifest } from '../../providers/linear/manifest-schema.ts';
import type { Clock } from '../clock.ts';
import { type DeliveryState, WebhookSender } from '../deliveries.ts';
import { slugOf } from '../seeds.ts';
import type { LinearRecords, UserRecord } from './records.ts';
import { linearDeliveryPolicy } from './webhooks.ts';

interface Code {
  value: string;
  redirectUri: string;
  challenge: string;
  scope: string;
  expiresAtMs: number;
}

/** An OAuth application that somebody made; plain data, saved as it is. */
export interface LinearAppRecord {
  clientId: string;
  clientSecret: string;
  signingSecret: string;
  webhookId: string;
  name: string;
  redirectUris: string[];
  webhookUrl: string;
  /** Its app user in the workspace; null while it is not installed. */
  userId: string | null;
  /** What its last consent allowed, with commas between. */
  scope?: string;
  codes: Code[];
  tokens: { access: string; refresh: string; expiresAtMs: number }[];
  deliveries: DeliveryState;
}

export interface LinearApp {
  record: LinearAppRecord;
  sender: WebhookSender;
}

export interface LinearAppsOptions {
  linear: LinearRecords;
  clock: Clock;
  fetch: typeof fetch;
  changed(): void;
  records?: LinearAppRecord[];
}

const codeLifetimeMs = 10 * 60_000;
const tokenLifetimeSeconds = 86_399;

/** The OAuth applications of the Linear stand-in that were made from manifests, beside the workplace's own. */
export class LinearApps {
  readonly #options: LinearAppsOptions;
  readonly #apps: LinearApp[];

  constructor(options: LinearAppsOptions) {
    this.#options = options;
    this.#apps = (options.records ?? []).map((record) => this.#open(record));
  }

  state(): LinearAppRecord[] {
    return this.#apps.map(({ record }) => record);
  }

  byClient(clientId: string | undefined): LinearApp | undefined {
    return this.#apps.find(({ record }) => record.clientId === clientId);
  }

  byUser(userId: string | undefined): LinearApp | undefined {
    return this.#apps.find(({ record }) => record.userId !== null && record.userId === userId);
  }

  /** The app user that a token acts as. */
  actor(token: string): UserRecord | undefined {
    const now = this.#options.clock.now();
    const app = this.#apps.find(({ record }) =>
      record.tokens.some(({ access, expiresAtMs }) => access === token && expiresAtMs > now),
    );
    return this.#options.linear.users.find(({ id }) => id === app?.record.userId);
  }

  create(manifest: LinearManifest): LinearApp {
    const record: LinearAppRecord = {
      clientId: randomBytes(16).toString('hex'),
      clientSecret: randomBytes(16).toString('hex'),
      signingSecret: `lin_wh_${randomBytes(20).toString('hex')}`,
      webhookId: randomUUID(),
      name: manifest.oauth.client_name,
      redirectUris: manifest.oauth.redirect_uris,
      webhookUrl: manifest.webhook.url,
      userId: null,
      codes: [],
      tokens: [],
      deliveries: { pending: [], records: [], nextId: 1 },
    };
    const app = this.#open(record);
    this.#apps.push(app);
    this.#options.changed();
    return app;
  }

  /** The code of a consent, for the token endpoint. */
  consent({ record }: LinearApp, redirectUri: string, challenge: string, scope: string): string {
    const value = randomBytes(16).toString('hex');
    const expiresAtMs = this.#options.clock.now() + codeLifetimeMs;
    record.codes.push({ value, redirectUri, challenge, scope, expiresAtMs });
    this.#options.changed();
    return value;
  }

  /** `POST /oauth/token`: a code or a refresh token becomes a pair of tokens. Undefined where it is refused. */
  token(given: Record<string, string>): Record<string, unknown> | undefined {
    const app = this.byClient(given.client_id);
    if (!app || app.record.clientSecret !== given.client_secret) return undefined;
    const { record } = app;
    const now = this.#options.clock.now();
    let scope = record.scope ?? '';
    if (given.grant_type === 'refresh_token') {
      const known = record.tokens.find(({ refresh }) => refresh === given.refresh_token);
      if (!known) return undefined;
      record.tokens.splice(record.tokens.indexOf(known), 1);
    } else {
      const code = record.codes.find(({ value }) => value === given.code);
      record.codes = record.codes.filter((each) => each !== code);
      if (given.grant_type !== 'authorization_code' || !code || code.expiresAtMs <= now) return undefined;
      if (code.redirectUri !== given.redirect_uri) return undefined;
      if (code.challenge && code.challenge !== hash('sha256', given.code_verifier ?? '', 'base64url'))
        return undefined;
      scope = code.scope;
      record.scope = scope;
      this.#install(record);
    }
    const access = `lin_oauth_${randomBytes(32).toString('hex')}`;
    const refresh = `lin_refresh_${randomBytes(32).toString('hex')}`;
    record.tokens.push({ access, refresh, expiresAtMs: now + tokenLifetimeSeconds * 1000 });
    this.#options.changed();
    return {
      access_token: access,
      refresh_token: refresh,
      token_type: 'Bearer',
      expires_in: tokenLifetimeSeconds,
      scope: scope.replaceAll(',', ' '),
    };
  }

  /** The app leaves the workspace: its tokens end, and it is told so. False where no app has this token. */
  revoke(token: string | undefined): boolean {
    const app = this.#apps.find(({ record }) => record.tokens.some(({ access }) => access === token));
    if (app) this.uninstall(app);
    return app !== undefined;
  }

  /** A new client secret: with the old one no token is given out or refreshed any more. */
  rotateSecret({ record }: LinearApp): void {
    record.clientSecret = randomBytes(16).toString('hex');
    this.#options.changed();
  }

  uninstall({ record, sender }: LinearApp): void {
    const { linear, clock, changed } = this.#options;
    record.tokens = [];
    void sender.send('OAuthApp', {
      type: 'OAuthApp',
      action: 'revoked',
      createdAt: new Date(clock.now()).toISOString(),
      oauthClientId: record.clientId,
      organizationId: linear.organization.id,
      webhookId: record.webhookId,
    });
    changed();
  }

  close(): void {
    for (const { sender } of this.#apps) sender.close();
  }

  /** Its app user; the same again after it was removed. */
  #install(record: LinearAppRecord): void {
    const { linear, clock } = this.#options;
    if (record.userId !== null) return;
    const createdAt = new Date(clock.now()).toISOString();
    const wanted = slugOf(record.name);
    const taken = new Set(linear.users.map((user) => user.displayName));
    let displayName = wanted;
    for (let n = 2; taken.has(displayName); n++) displayName = `${wanted}${n}`;
    const id = randomUUID();
    linear.users.push({
      id,
      createdAt,
      updatedAt: createdAt,
      name: record.name,
      displayName,
      email: `${randomUUID()}@oauthapp.linear.app`,
      admin: false,
      guest: false,
      app: true,
    });
    record.userId = id;
  }

  #open(record: LinearAppRecord): LinearApp {
    const { clock, fetch, changed } = this.#options;
    const sender = new WebhookSender({
      policy: linearDeliveryPolicy(record.signingSecret),
      clock,
      fetch,
      changed,
      state: record.deliveries,
    });
    sender.setUrl(record.webhookUrl);
    return { record, sender };
  }
}

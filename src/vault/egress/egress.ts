import { eq, isNull } from 'drizzle-orm';
import type { JWK } from 'jose';
import type { Logger } from 'pino';
import { connect, type Database } from '../../store/connection.ts';
import { organizations } from '../../store/schema.ts';
import { CredentialStore } from '../credential-store.ts';
import { InstallationTokens } from '../github-app.ts';
import { deriveSessionKey, organizationPublicKey } from '../keys.ts';
import { KnownSecrets } from '../known-secrets.ts';
import { RotatingTokens } from '../rotating-tokens.ts';
import { openWith, type SealBinding, sealWith } from '../seal.ts';
import { VaultTokens } from '../vault-tokens.ts';
import { BodyBudget } from './bodies.ts';
import { type Connect, type Resolve, systemConnect, systemResolve } from './dialing.ts';
import type { GitNeeds } from './git-door.ts';
import type { EgressParts } from './parts.ts';
import { PlatformDoor } from './platform-door.ts';
import { PlatformPools } from './platform-pools.ts';
import type { EgressHealth, EgressStart, ListenerHandle, ListenerRole } from './protocol.ts';
import type { RequestNeeds } from './provider-door.ts';
import { ProxySession } from './proxy-session.ts';
import { databaseWriter, Recorder } from './records.ts';
import { RefusedError, refuse } from './refusal.ts';
import { SessionProxy } from './session-proxy.ts';
import { UpstreamMap } from './upstreams.ts';

/** What the outside world is to the egress process; tests give their own. */
export interface EgressWorld {
  needs: RequestNeeds;
  git?: GitNeeds;
  logger: Logger;
  resolve?: Resolve;
  connect?: Connect;
  now?: () => number;
}

/** What opening a session gives: what the sandbox trusts, and the sealed key by which a later process can go on. */
export interface OpenedSession {
  caCertificatePem: string;
  /** Opaque; opens with the root key only. */
  sealedAuthority: string;
  /** Names and placeholders of the session's variables. No secret. */
  environment: Record<string, string>;
}

const maxHeldBodyBytes = 256 * 1024 * 1024;

/** The egress process without its process: doors, sessions, records. */
export class Egress {
  readonly #parts: EgressParts;
  readonly #proxy: SessionProxy;
  readonly #platform: PlatformDoor;
  readonly #pools: PlatformPools;
  readonly #rootKey: Uint8Array;
  readonly #sessions = new Map<string, Promise<ProxySession>>();

  private constructor(start: Omit<EgressStart, 'type'>, world: EgressWorld) {
    const now = world.now ?? Date.now;
    const database = connect({
      url: start.databaseUrl,
      applicationName: 'tagalong-egress',
      maxConnections: 8,
      onError: (err) => world.logger.warn({ err }, 'A database connection broke.'),
    });
    this.#rootKey = Buffer.from(start.rootKey, 'base64url');
    const upstreams = new UpstreamMap(start.upstreams);
    const recorder = new Recorder({ write: databaseWriter(database), logger: world.logger });
    const network = { resolve: world.resolve ?? systemResolve, connect: world.connect ?? systemConnect };
    this.#pools = new PlatformPools({ network, upstreams, recorder, now });
    const credentials = new CredentialStore(database, this.#rootKey, now);
    this.#parts = {
      database,
      logger: world.logger,
      now,
      recorder,
      credentials,
      rotatingTokens: new RotatingTokens(credentials, (...call) => this.#pools.refresh(...call), now),
      tokens: new InstallationTokens((...call) => this.#pools.mint(...call), now),
      vaultTokens: new VaultTokens(
        database,
        this.#rootKey,
        (...call) => this.#pools.askTokenEndpoint(...call),
        now,
      ),
      secrets: new KnownSecrets(database, this.#rootKey, Object.values(start.modelCredentials), now),
      rules: { modelCredentials: start.modelCredentials, upstreams },
      needs: world.needs,
      git: world.git,
      network,
      budget: new BodyBudget(maxHeldBodyBytes),
      internalSocket: start.internalSocket,
    };
    this.#proxy = new SessionProxy(this.#parts);
    this.#platform = new PlatformDoor(this.#parts, this.#pools);
  }

  /** Opens the platform's door. The database is first asked when something needs it. */
  static async start(start: Omit<EgressStart, 'type'>, world: EgressWorld): Promise<Egress> {
    const egress = new Egress(start, world);
    await egress.#platform.listen(start.platformSocket);
    return egress;
  }

  /**
   * Makes a session known, with a new authority or the one that an earlier process sealed. Opening it again gives
   * the same. Rejects with a RefusedError for a session that there is not, with a SealError for a foreign seal.
   */
  async openSession(organizationId: string, sessionId: string, sealed?: string): Promise<OpenedSession> {
    const key = deriveSessionKey(this.#rootKey);
    const binding = authorityBinding(organizationId, sessionId);
    let opening = this.#sessions.get(sessionId);
    if (!opening) {
      opening = (async () => {
        const exported = sealed ? await openWith(key, binding, sealed) : undefined;
        return ProxySession.open(this.#parts, organizationId, sessionId, exported);
      })();
      this.#sessions.set(sessionId, opening);
      opening.catch(() => this.#sessions.delete(sessionId));
    }
    const session = await opening;
    if (session.organizationId !== organizationId) {
      throw new RefusedError(refuse('session.unknown', 'There is no such session.'));
    }
    const { authority } = session;
    return {
      caCertificatePem: authority.certificatePem,
      sealedAuthority: await sealWith(key, binding, await authority.export()),
      environment: await session.environment(),
    };
  }

  /** Serves a listener of an open session. */
  async addListener(sessionId: string, handle: ListenerHandle, role: ListenerRole = 'proxy'): Promise<void> {
    const session = await this.#sessions.get(sessionId);
    if (!session) throw new Error(`The session ${sessionId} is not open here.`);
    await this.#proxy.serve(session, handle, role);
  }

  /** Whether a text holds one of the organization's secrets. */
  checkText(organizationId: string, text: string): Promise<{ ok: true } | { ok: false; reason: string }> {
    return this.#parts.secrets.check(organizationId, text);
  }

  /** Stamps the turn on the records that follow. */
  setTurn(sessionId: string, turnId: string | null): void {
    this.#sessions.get(sessionId)?.then(
      (session) => {
        session.turnId = turnId;
      },
      () => {},
    );
  }

  async closeSession(sessionId: string): Promise<void> {
    const session = this.#sessions.get(sessionId);
    this.#sessions.delete(sessionId);
    await session?.then(
      (open) => open.close(),
      () => {},
    );
    await this.#parts.recorder.flush();
  }

  /** Writes the public keys of organizations that have none yet; answers this one's. */
  async sealingKey(organizationId: string): Promise<JWK> {
    const key = organizationPublicKey(this.#rootKey, organizationId);
    await writeSealingKey(this.#parts.database, organizationId, key);
    return key;
  }

  /** Fills `organizations.sealing_public_key` where it is empty. */
  async publishSealingKeys(): Promise<void> {
    const { database } = this.#parts;
    const rows = await database
      .select({ id: organizations.id })
      .from(organizations)
      .where(isNull(organizations.sealingPublicKey));
    for (const { id } of rows) await this.sealingKey(id);
  }

  /** Writes the records that wait. */
  async flush(): Promise<void> {
    await this.#parts.recorder.flush();
  }

  async health(): Promise<EgressHealth> {
    const sessions = `${this.#sessions.size} ${this.#sessions.size === 1 ? 'session' : 'sessions'}`;
    try {
      await this.#parts.database.$client.query('select 1');
      return { ok: true, message: `The egress process serves ${sessions}.` };
    } catch {
      return { ok: false, message: 'The egress process runs but cannot reach the database.' };
    }
  }

  /** Ends all connections, writes the records that are left, and closes the database. */
  async stop(): Promise<void> {
    this.#platform.close();
    await Promise.all([...this.#sessions.keys()].map((sessionId) => this.closeSession(sessionId)));
    this.#proxy.close();
    await this.#pools.destroy();
    await this.#parts.recorder.stop();
    await this.#parts.database.$client.end();
  }
}

function authorityBinding(organizationId: string, sessionId: string): SealBinding {
  return { organizationId, table: 'sessions', row: sessionId, purpose: 'egress_authority' };
}

/** Under the owner role: the application role may not change an organization. */
async function writeSealingKey(database: Database, organizationId: string, key: JWK): Promise<void> {
  await database
    .update(organizations)
    .set({ sealingPublicKey: key as Record<string, unknown> })
    .where(eq(organizations.id, organizationId));
}

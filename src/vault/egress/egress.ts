import { setTimeout as sleep } from 'node:timers/promises';
import type { JWK } from 'jose';
import type { Logger } from 'pino';
import { defaults } from '../../config.ts';
import { connect } from '../../store/connection.ts';
import { organizations } from '../../store/schema.ts';
import { CredentialStore } from '../credential-store.ts';
import { InstallationTokens } from '../github-app.ts';
import { deriveRecordKey, type RootKeys, writingKey } from '../keys.ts';
import { KnownSecrets } from '../known-secrets.ts';
import { recordKeyOf } from '../record-chain.ts';
import { RefreshClaims } from '../refresh-claims.ts';
import { markRefused } from '../refused-refresh.ts';
import { Resealing } from '../resealing.ts';
import { RotatingTokens } from '../rotating-tokens.ts';
import { publishSealingKey } from '../sealing-keys.ts';
import { VaultTokens } from '../vault-tokens.ts';
import { BodyBudget } from './bodies.ts';
import { type Connect, connectTrusting, type Resolve, systemResolve } from './dialing.ts';
import { FairQueue } from './fair-queue.ts';
import type { GitNeeds } from './git-door.ts';
import { JsonBodies } from './json-bodies.ts';
import { type Notification, type NotificationResult, sendNotification } from './notifications.ts';
import { readCeiling } from './operator-settings.ts';
import type { EgressParts } from './parts.ts';
import { PlatformDoor } from './platform-door.ts';
import { PlatformPools } from './platform-pools.ts';
import type {
  EgressHealth,
  EgressStart,
  ListenerHandle,
  ListenerRole,
  RemoteListener,
  RemoteProxyAccess,
} from './protocol.ts';
import type { RequestNeeds, WritersIn } from './provider-door.ts';
import { ProxySession } from './proxy-session.ts';
import { databaseWriter } from './record-writer.ts';
import { Recorder } from './records.ts';
import { Redactions } from './redaction.ts';
import { RefusedError, refuse } from './refusal.ts';
import { RemoteProxy } from './remote-proxy.ts';
import { remoteToken } from './remote-token.ts';
import { SessionAuthorities } from './session-authorities.ts';
import { SessionProxy } from './session-proxy.ts';
import { rememberingTokens } from './token-calls.ts';
import { UpstreamMap } from './upstreams.ts';
import { type AskWorker, askWorkerOn } from './worker-door.ts';

/** What the outside world is to the egress process; tests give their own. */
export interface EgressWorld {
  needs: RequestNeeds;
  writersIn?: WritersIn;
  git?: GitNeeds;
  logger: Logger;
  resolve?: Resolve;
  connect?: Connect;
  /** The worker on its socket where it is left out. */
  askWorker?: AskWorker;
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

/** How long the end waits for tokens to be taken back. */
const revokeGraceMs = 1_500;
const maxHeldBodyBytes = 256 * 1024 * 1024;

/** The egress process without its process: doors, sessions, records. */
export class Egress {
  readonly #parts: EgressParts;
  readonly #proxy: SessionProxy;
  readonly #platform: PlatformDoor;
  readonly #pools: PlatformPools;
  readonly #rootKeys: RootKeys;
  readonly #resealing: Resealing;
  readonly #sessions = new Map<string, Promise<ProxySession>>();
  readonly #authorities: SessionAuthorities;
  readonly #remote: RemoteProxy | undefined;
  readonly #remoteListener: RemoteListener | undefined;
  #remotePort: number | undefined;

  private constructor(start: Omit<EgressStart, 'type'>, world: EgressWorld) {
    const now = world.now ?? Date.now;
    const database = connect({
      url: start.databaseUrl,
      applicationName: 'tagalong-egress',
      maxConnections: 8,
      onError: (err) => world.logger.warn({ err }, 'A database connection broke.'),
    });
    this.#rootKeys = rootKeysOf(start);
    const upstreams = new UpstreamMap(start.upstreams);
    const ceiling = readCeiling(start.allowedHosts);
    const write = databaseWriter(database, recordKeyOf(deriveRecordKey(writingKey(this.#rootKeys))));
    const recorder = new Recorder({ write, logger: world.logger });
    const network = {
      resolve: world.resolve ?? systemResolve,
      connect: world.connect ?? connectTrusting(start.extraAuthorities),
    };
    this.#pools = new PlatformPools({ network, upstreams, ceiling, recorder, now });
    const credentials = new CredentialStore(database, this.#rootKeys, now);
    const secrets = new KnownSecrets(database, this.#rootKeys, Object.values(start.modelCredentials), now);
    const claims = new RefreshClaims(database, now);
    const asking = rememberingTokens(this.#pools, secrets);
    this.#parts = {
      database,
      logger: world.logger,
      now,
      recorder,
      credentials,
      rotatingTokens: new RotatingTokens(
        credentials,
        claims,
        asking.refresh,
        now,
        markRefused(database, world.logger, now),
      ),
      tokens: new InstallationTokens(asking.mint, now, asking.revoke),
      vaultTokens: new VaultTokens(database, this.#rootKeys, claims, asking.askTokenEndpoint, now),
      secrets,
      rules: { modelCredentials: start.modelCredentials, upstreams, ceiling },
      needs: world.needs,
      writersIn: world.writersIn ?? {},
      git: world.git,
      network,
      budget: new BodyBudget(maxHeldBodyBytes),
      queue: new FairQueue(),
      jsonBodies: new JsonBodies(),
      redactions: new Redactions(),
      limits: start.limits ?? defaults.egress,
      internalSocket: start.internalSocket,
      askWorker: world.askWorker ?? askWorkerOn(start.internalSocket),
    };
    this.#authorities = new SessionAuthorities(this.#rootKeys, now, world.logger);
    this.#resealing = new Resealing(database, this.#rootKeys, world.logger);
    this.#proxy = new SessionProxy(this.#parts);
    this.#platform = new PlatformDoor(this.#parts, this.#pools);
    this.#remoteListener = start.remote;
    this.#remote =
      start.remote &&
      new RemoteProxy(this.#parts, this.#proxy, start.remote, async (sessionId) =>
        this.#sessions.get(sessionId)?.catch(() => undefined),
      );
  }

  /** Opens the platform's door, and that for other machines. The database is first asked when something needs it. */
  static async start(start: Omit<EgressStart, 'type'>, world: EgressWorld): Promise<Egress> {
    const egress = new Egress(start, world);
    await egress.#platform.listen(start.platformSocket);
    if (start.remote) egress.#remotePort = await egress.#remote?.listen(start.remote.host, start.remote.port);
    return egress;
  }

  /**
   * Makes a session known, with a new authority or the one that an earlier process sealed. Opening it again gives
   * the same. Rejects with a RefusedError for a session that there is not, with a SealError for a foreign seal.
   */
  async openSession(organizationId: string, sessionId: string, sealed?: string): Promise<OpenedSession> {
    const authorities = this.#authorities;
    let opening = this.#sessions.get(sessionId);
    if (!opening) {
      opening = (async () => {
        if (sealed === undefined)
          return ProxySession.open(this.#parts, organizationId, sessionId, await authorities.next());
        // It was there before: it is served again even if the database is away.
        const authority = await authorities.open(organizationId, sessionId, sealed);
        return new ProxySession(this.#parts, organizationId, sessionId, authority);
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
      sealedAuthority: await authorities.seal(organizationId, sessionId, authority),
      environment: await session.environment(),
    };
  }

  /** Serves a listener of an open session. */
  async addListener(sessionId: string, handle: ListenerHandle, role: ListenerRole = 'proxy'): Promise<void> {
    const session = await this.#sessions.get(sessionId);
    if (!session) throw new Error(`The session ${sessionId} is not open here.`);
    await this.#proxy.serve(session, handle, role);
  }

  /** How a sandbox on another machine comes to this session's proxy. Rejects where no address is set up for such. */
  async remoteProxy(sessionId: string): Promise<RemoteProxyAccess> {
    const remote = this.#remoteListener;
    const session = await this.#sessions.get(sessionId);
    if (!remote) throw new Error('Sandboxes on other machines need TAGALONG_EGRESS_LISTEN.');
    if (!session) throw new Error(`The session ${sessionId} is not open here.`);
    return {
      url: remote.url ?? `https://${remote.host}:${this.#remotePort ?? remote.port}`,
      username: sessionId,
      token: await remoteToken(session),
      caCertificatePem: session.authority.certificatePem,
      proxyCertificatePem: remote.certificatePem,
    };
  }

  /** Whether a text holds one of the organization's secrets. */
  checkText(organizationId: string, text: string): Promise<{ ok: true } | { ok: false; reason: string }> {
    return this.#parts.secrets.check(organizationId, text);
  }

  /** Posts a notice to one of an organization's addresses. */
  notify(notification: Notification): Promise<NotificationResult> {
    return sendNotification(this.#parts, this.#pools, this.#rootKeys, notification);
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
    this.#parts.tokens.release(sessionId);
    await this.#parts.recorder.flush();
  }

  /**
   * The public key to which an organization's credentials are sealed, written where the gateway finds it. Rejects when
   * there is one of a root key that we do not have: what is sealed to that would never open.
   */
  sealingKey(organizationId: string): Promise<JWK> {
    return publishSealingKey(this.#parts.database, this.#rootKeys, organizationId);
  }

  /** Does so for every organization. */
  async publishSealingKeys(): Promise<void> {
    const { database } = this.#parts;
    const rows = await database.select({ id: organizations.id }).from(organizations);
    for (const { id } of rows) await this.sealingKey(id);
  }

  /** Seals anew what the previous root key sealed, and looks again from time to time until the end. */
  reseal(): Promise<void> {
    return this.#resealing.run();
  }

  /** Writes the records that wait. */
  async flush(): Promise<void> {
    await this.#parts.recorder.flush();
  }

  async health(): Promise<EgressHealth> {
    const sessions = `${this.#sessions.size} ${this.#sessions.size === 1 ? 'session' : 'sessions'}`;
    try {
      await this.#parts.database.$client.query('select 1');
      return { ok: true, message: `The egress process serves ${sessions}.${this.#resealing.said}` };
    } catch {
      return { ok: false, message: 'The egress process runs but cannot reach the database.' };
    }
  }

  /** Ends all connections, writes the records that are left, and closes the database. */
  async stop(): Promise<void> {
    this.#platform.close();
    this.#remote?.close();
    await this.#authorities.close();
    await this.#resealing.stop();
    await Promise.all([...this.#sessions.keys()].map((sessionId) => this.closeSession(sessionId)));
    await Promise.race([this.#parts.tokens.settled(), sleep(revokeGraceMs, undefined, { ref: false })]);
    await this.#pools.destroy();
    await this.#parts.jsonBodies.close();
    await this.#parts.recorder.stop();
    await this.#parts.database.$client.end();
  }
}

function rootKeysOf({
  rootKey,
  previousRootKey,
}: Pick<EgressStart, 'rootKey' | 'previousRootKey'>): RootKeys {
  const writing = Buffer.from(rootKey, 'base64url');
  return previousRootKey === undefined ? writing : [writing, Buffer.from(previousRootKey, 'base64url')];
}

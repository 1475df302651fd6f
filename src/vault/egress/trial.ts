import { createServer as createHttpServer, request as httpRequest } from 'node:http';
import { type AddressInfo, createServer } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { pino } from 'pino';
import { defaults } from '../../config.ts';
import { connect } from '../../store/connection.ts';
import { CredentialStore } from '../credential-store.ts';
import { InstallationTokens } from '../github-app.ts';
import { KnownSecrets } from '../known-secrets.ts';
import { RefreshClaims } from '../refresh-claims.ts';
import { RotatingTokens } from '../rotating-tokens.ts';
import { VaultTokens } from '../vault-tokens.ts';
import { BodyBudget } from './bodies.ts';
import { SessionAuthority } from './certificates.ts';
import { systemConnect } from './dialing.ts';
import { FairQueue } from './fair-queue.ts';
import { parseHostPattern } from './host-names.ts';
import { JsonBodies } from './json-bodies.ts';
import { noNetworking } from './networking.ts';
import type { EgressParts } from './parts.ts';
import { ProxySession } from './proxy-session.ts';
import { type EgressRecord, Recorder } from './records.ts';
import { Redaction, Redactions } from './redaction.ts';
import type { SessionPolicy } from './session-policy.ts';
import { SessionProxy } from './session-proxy.ts';
import { UpstreamMap } from './upstreams.ts';

const allowedHost = 'allowed.tagalong.test';
const refusedHost = 'refused.tagalong.test';
const timeoutMs = 10_000;

/** A session that no database knows, with a policy of its own. */
class TrialSession extends ProxySession {
  override policy(): Promise<SessionPolicy> {
    const pattern = parseHostPattern(allowedHost);
    return Promise.resolve({
      organizationId: this.organizationId,
      sessionId: this.sessionId,
      ended: false,
      publication: null,
      installationId: null,
      allowedHosts: pattern ? [pattern] : [],
      passthroughHosts: [],
      repositories: [],
      readOutsiders: false,
      slug: null,
      credentials: [],
      networking: noNetworking,
    });
  }
}

/** The secrets of an organization that has none. */
class NoSecrets extends KnownSecrets {
  override search(): Promise<Redaction> {
    return Promise.resolve(new Redaction([]));
  }
}

/**
 * Really refuses one request and lets one through: the proxy of the egress process, in this process, on loopback, with
 * records that go nowhere. Changes nothing. For `doctor`.
 */
export async function tryEgress(): Promise<{ ok: boolean; message: string }> {
  const records: EgressRecord[] = [];
  const upstream = createHttpServer((_, response) => response.end('passed'));
  const upstreamPort = await listenOnLoopback(upstream);
  const parts = trialParts(`http://127.0.0.1:${upstreamPort}/`, (rows) => records.push(...rows));
  const proxy = new SessionProxy(parts);
  const session = new TrialSession(
    parts,
    'org_trial',
    'sesn_trial',
    await SessionAuthority.create(parts.now),
  );
  const listener = createServer();
  const port = await listenOnLoopback(listener);
  try {
    await proxy.serve(session, listener, 'proxy');
    const refused = await ask(port, refusedHost, session.authority.certificatePem);
    const allowed = await ask(port, allowedHost, session.authority.certificatePem);
    await parts.recorder.stop();
    const decisions = records.map((record) => record.decision);
    const isRight =
      refused === 403 && allowed === 200 && decisions.includes('refused') && decisions.includes('allowed');
    return isRight
      ? { ok: true, message: 'refused one request and let one through, both recorded' }
      : {
          ok: false,
          message: `a request that must be refused got ${refused}, one that is allowed got ${allowed}, records: ${decisions.join(', ') || 'none'}. Agents cannot work like this; please report it.`,
        };
  } catch (error) {
    return {
      ok: false,
      message: `the trial failed: ${error instanceof Error ? error.message : String(error)}`,
    };
  } finally {
    await session.close();
    upstream.close();
    upstream.closeAllConnections();
    await parts.database.$client.end();
  }
}

function trialParts(target: string, write: (rows: readonly EgressRecord[]) => void): EgressParts {
  const logger = pino({ level: 'silent' });
  const now = Date.now;
  // Never connected: policy and records of this session do not come from a database.
  const database = connect({ url: 'postgres://127.0.0.1/none', maxConnections: 1 });
  const rootKey = new Uint8Array(32);
  const store = new CredentialStore(database, rootKey, now);
  const claims = new RefreshClaims(database, now);
  const upstreams = new UpstreamMap([{ host: allowedHost, pathPrefix: '/', target, scope: 'all' }]);
  return {
    database,
    logger,
    now,
    recorder: new Recorder({ write: async (rows) => write(rows), logger }),
    credentials: store,
    tokens: new InstallationTokens(() => Promise.reject(new Error('There are no tokens in a trial.')), now),
    vaultTokens: new VaultTokens(
      database,
      rootKey,
      claims,
      () => Promise.reject(new Error('There are no tokens in a trial.')),
      now,
    ),
    rotatingTokens: new RotatingTokens(
      store,
      claims,
      () => Promise.reject(new Error('There are no tokens in a trial.')),
      now,
    ),
    secrets: new NoSecrets(database, rootKey, [], now),
    rules: { modelCredentials: {}, upstreams },
    needs: {},
    queue: new FairQueue(),
    jsonBodies: new JsonBodies(),
    writersIn: {},
    git: undefined,
    network: {
      resolve: () => Promise.reject(new Error('Nothing is looked up in a trial.')),
      connect: systemConnect,
    },
    budget: new BodyBudget(1024 * 1024),
    redactions: new Redactions(),
    limits: defaults.egress,
    internalSocket: '',
    askWorker: () => Promise.reject(new Error('There is no worker in a trial.')),
  };
}

function listenOnLoopback(server: ReturnType<typeof createServer>): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port));
  });
}

/** Asks for `https://<host>/` through the proxy, trusting this authority only. Answers the status. */
function ask(port: number, host: string, ca: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const tunnel = httpRequest({
      host: '127.0.0.1',
      port,
      method: 'CONNECT',
      path: `${host}:443`,
      headers: { host: `${host}:443` },
      timeout: timeoutMs,
    });
    tunnel.once('timeout', () => tunnel.destroy(new Error(`no answer within ${timeoutMs / 1_000} s`)));
    tunnel.once('error', reject);
    tunnel.once('connect', (response, socket) => {
      if (response.statusCode !== 200) {
        socket.destroy();
        return resolve(response.statusCode ?? 0);
      }
      const secured = connectTls({ socket, servername: host, ca });
      secured.once('error', reject);
      const inner = httpRequest({
        createConnection: () => secured,
        headers: { host, connection: 'close' },
        timeout: timeoutMs,
      });
      inner.once('error', reject);
      inner.once('response', (answer) => {
        answer.resume();
        answer.once('end', () => {
          secured.destroy();
          resolve(answer.statusCode ?? 0);
        });
      });
      inner.end();
    });
    tunnel.end();
  });
}

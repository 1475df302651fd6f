import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectTcp, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eq } from 'drizzle-orm';
import { pino } from 'pino';
import { afterAll } from 'vitest';
import type { Database } from '../../../src/store/connection.ts';
import { egressRequests } from '../../../src/store/schema.ts';
import { Egress, type EgressWorld } from '../../../src/vault/egress/egress.ts';
import type { EgressStart } from '../../../src/vault/egress/protocol.ts';
import { deriveRecordKey } from '../../../src/vault/keys.ts';
import { recordKeyOf } from '../../../src/vault/record-chain.ts';
import { makeListener } from './listener.ts';

export const rootKey = Buffer.alloc(32, 7);
export const recordKey = recordKeyOf(deriveRecordKey(rootKey));
export const silent = pino({ level: process.env.TEST_LOG ?? 'silent' });

/** A network of its own: names and addresses are what the test says, and nothing is dialled but loopback. */
export class FakeNetwork {
  readonly names = new Map<string, string[]>();
  /** Public address → loopback port. */
  readonly machines = new Map<string, number>();
  readonly lookups: string[] = [];
  readonly dialled: string[] = [];

  resolve = async (host: string): Promise<string[]> => {
    this.lookups.push(host);
    const found = this.names.get(host);
    if (!found) throw new Error('ENOTFOUND');
    return found;
  };

  connect = (address: string, port: number): Promise<Socket> => {
    this.dialled.push(`${address}:${port}`);
    const to = address === '127.0.0.1' ? port : this.machines.get(address);
    if (to === undefined)
      return Promise.reject(Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }));
    return new Promise((resolve, reject) => {
      const socket = connectTcp(to, '127.0.0.1', () => resolve(socket));
      socket.once('error', reject);
    });
  };
}

export interface TestEgress {
  egress: Egress;
  network: FakeNetwork;
  start: Omit<EgressStart, 'type'>;
  folder: string;
  /** Opens a session with one listener. */
  open(session: { organizationId: string; sessionId: string }): Promise<{ port: number; ca: string }>;
  /** The records of a session, once written. */
  records(sessionId: string): Promise<(typeof egressRequests.$inferSelect)[]>;
}

/** An egress process without its process, in front of a network of the test's own. */
export async function startTestEgress(
  database: { database: Database; url: string },
  start: Partial<EgressStart> = {},
  world: Partial<EgressWorld> = {},
): Promise<TestEgress> {
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-egress-'));
  const network = new FakeNetwork();
  const full = {
    databaseUrl: database.url,
    rootKey: rootKey.toString('base64url'),
    upstreams: [],
    modelCredentials: {},
    platformSocket: join(folder, 'platform.sock'),
    internalSocket: join(folder, 'internal.sock'),
    ...start,
  };
  const egress = await Egress.start(full, {
    needs: {},
    logger: silent,
    resolve: network.resolve,
    connect: network.connect,
    askWorker: async () => ({ ok: true }),
    ...world,
  });
  afterAll(async () => {
    await egress.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  return {
    egress,
    network,
    start: full,
    folder,
    open: async ({ organizationId, sessionId }) => {
      const { caCertificatePem } = await egress.openSession(organizationId, sessionId);
      const { port, handle } = await makeListener();
      await egress.addListener(sessionId, handle);
      return { port, ca: caCertificatePem };
    },
    records: async (sessionId) => {
      await egress.flush();
      return database.database
        .select()
        .from(egressRequests)
        .where(eq(egressRequests.sessionId, sessionId))
        .orderBy(egressRequests.id);
    },
  };
}

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileCacheEnvironment } from '../../src/store/compile-cache.ts';
import { egressNodeOptions } from '../../src/vault/egress/child.ts';
import type { EgressStart } from '../../src/vault/egress/protocol.ts';
import type { UpstreamCertificate } from './certificate.ts';
import type { EgressDatabase } from './database.ts';
import type { EgressOrder } from './egress-server.ts';
import { type Helper, startHelper } from './process.ts';
import type { BenchUpstream } from './upstream.ts';

export interface EgressHelperOrder {
  /** For its sockets and the authority that it trusts. */
  folder: string;
  certificate: UpstreamCertificate;
  database: EgressDatabase;
  upstream: Pick<BenchUpstream, 'ports'>;
  sessions: EgressDatabase['sessions'];
  /** Of each session; the defaults when left out. */
  limits?: EgressStart['limits'];
  nodeOptions?: readonly string[];
}

/** An egress process of its own on the second core, started as the worker starts it, with a door for each session. */
export async function startEgressHelper({
  folder,
  certificate,
  database,
  upstream,
  sessions,
  limits,
  nodeOptions = [],
}: EgressHelperOrder): Promise<{ helper: Helper; doors: { port: number; ca: string }[] }> {
  const authority = join(folder, 'authority.pem');
  writeFileSync(authority, certificate.authority);
  const helper = startHelper('egress-server.ts', 1, {
    nodeOptions: [...egressNodeOptions, ...nodeOptions],
    env: { ...compileCacheEnvironment, NODE_EXTRA_CA_CERTS: authority },
  });
  const { doors } = await helper.ask<{ doors: { port: number; ca: string }[] }>({
    start: {
      databaseUrl: database.url,
      rootKey: database.rootKey,
      upstreams: [],
      modelCredentials: {},
      platformSocket: join(folder, 'platform.sock'),
      internalSocket: join(folder, 'internal.sock'),
      ...(limits ? { limits } : {}),
    },
    sessions,
    ports: upstream.ports,
  } satisfies EgressOrder);
  return { helper, doors };
}

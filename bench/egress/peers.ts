import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaults } from '../../src/config.ts';
import type { UpstreamCertificate } from './certificate.ts';
import type { Door } from './connection.ts';
import type { EgressDatabase } from './database.ts';
import { startEgressHelper } from './egress-helper.ts';
import type { InterceptionOrder } from './interception-server.ts';
import { startNginx } from './nginx.ts';
import { type Helper, startHelper } from './process.ts';
import { type BenchUpstream, nodeHost, quickHost } from './upstream.ts';

/** One way to the upstream. */
export interface Peer {
  name: string;
  /** By host, since some ways have a door for each. */
  door(host: string): Door;
  /** Whether the client has to put the token on itself. */
  bare: boolean;
  /** Undefined where nothing stands between. */
  pid: number | undefined;
  stop(): void;
}

export interface PeersOrder {
  folder: string;
  upstream: BenchUpstream;
  certificate: UpstreamCertificate;
  database: EgressDatabase;
  /** Runs the egress process under V8's profiler, which writes into this folder. */
  profileFolder: string | undefined;
}

/** Installed for the bench only, into the machine's temporary folder. */
const mockttpVersion = '4.6.5';

export async function startPeers(order: PeersOrder): Promise<{ peers: Peer[]; missing: string[] }> {
  const peers = [
    direct(order),
    await tunnel(order),
    await startEgressPeer(order),
    await interceptionAlone(order),
  ];
  const missing: string[] = [];
  const mockttp = await startMockttp(order).catch((error: Error) => error.message.split('\n')[0]);
  if (typeof mockttp === 'object') peers.push(mockttp);
  else missing.push(`mockttp ${mockttpVersion}: not installed (${mockttp ?? 'unknown'})`);
  if (order.upstream.nginx) peers.push(await terminatingNginx(order, order.upstream.nginx));
  else missing.push('nginx: not installed');
  return { peers, missing };
}

function direct({ upstream, certificate }: PeersOrder): Peer {
  const door = (host: string) => ({
    port: upstream.ports[host] ?? 0,
    connect: false,
    ca: certificate.authority,
  });
  return { name: 'direct TLS', bare: true, pid: undefined, door, stop: () => {} };
}

async function tunnel({ upstream, certificate }: PeersOrder): Promise<Peer> {
  const helper = startHelper('tunnel-server.ts', 1);
  const { port } = await helper.ask<{ port: number }>({ ports: upstream.ports });
  return proxy('bare CONNECT tunnel in Node', helper, port, certificate.authority, true);
}

async function interceptionAlone({ upstream, certificate }: PeersOrder): Promise<Peer> {
  const helper = startHelper('interception-server.ts', 1);
  const { ports, token } = upstream;
  const { port } = await helper.ask<{ port: number }>({
    ports,
    certificate,
    token,
  } satisfies InterceptionOrder);
  return proxy('interception and injection alone, in Node', helper, port, certificate.authority, false);
}

/** What is measured is the proxy, not what a session may use of it. */
const unlimited = {
  ...defaults.egress,
  maxConnectionsPerSecond: 1_000_000,
  maxRequestsPerSecond: 1_000_000,
};

async function startEgressPeer(order: PeersOrder): Promise<Peer> {
  const { folder, certificate, database, upstream, profileFolder } = order;
  const { helper, doors } = await startEgressHelper({
    ...{ folder, certificate, database, upstream, limits: unlimited },
    sessions: database.sessions.slice(0, 1),
    nodeOptions: profileFolder ? ['--cpu-prof', `--cpu-prof-dir=${profileFolder}`] : [],
  });
  return proxy('Tagalong, everything on', helper, doors[0]?.port ?? 0, doors[0]?.ca ?? '', false);
}

async function startMockttp({ upstream, certificate }: PeersOrder): Promise<Peer> {
  const folder = join(tmpdir(), `tagalong-bench-mockttp-${mockttpVersion}`);
  if (!existsSync(join(folder, 'node_modules', 'mockttp'))) {
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, 'package.json'), '{"private":true}');
    const wanted = `mockttp@${mockttpVersion}`;
    execFileSync('npm', ['install', '--no-audit', '--no-fund', wanted], { cwd: folder, stdio: 'pipe' });
  }
  const helper = startHelper('mockttp-server.ts', 1);
  const { port, ca } = await helper.ask<{ port: number; ca: string }>({
    folder,
    ports: upstream.ports,
    token: upstream.token,
    authority: certificate.authority,
  });
  return proxy(`mockttp ${mockttpVersion} with injection`, helper, port, ca, false);
}

function proxy(name: string, helper: Helper, port: number, ca: string, bare: boolean): Peer {
  return {
    name,
    bare,
    pid: helper.pid,
    door: () => ({ port, connect: true, ca }),
    stop: () => helper.stop(),
  };
}

async function terminatingNginx(
  { folder, upstream, certificate }: PeersOrder,
  program: string,
): Promise<Peer> {
  const place = (host: string) => {
    const name = host.split('.')[0];
    return {
      upstream: `upstream ${name} { server 127.0.0.1:${upstream.ports[host]}; keepalive 128; keepalive_requests 100000000; }`,
      server: `server { listen 127.0.0.1:PORT ssl; server_name ${host}; location / { proxy_pass https://${name}; } }`,
    };
  };
  const places = [quickHost, nodeHost].map(place);
  writeFileSync(join(folder, 'authority.pem'), certificate.authority);
  const server = await startNginx(
    program,
    join(folder, 'terminating'),
    `ssl_certificate ${folder}/upstream.pem; ssl_certificate_key ${folder}/upstream.key;
     proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host;
     proxy_set_header Authorization "Bearer ${upstream.token}"; proxy_buffering off; proxy_request_buffering off;
     proxy_ssl_server_name on; proxy_ssl_name $host; proxy_ssl_verify on; proxy_ssl_trusted_certificate ${folder}/authority.pem;
     ${places.map((each) => each.upstream).join('\n')} ${places.map((each) => each.server).join('\n')}`,
    1,
  );
  const door = () => ({ port: server.port, connect: false, ca: certificate.authority });
  return {
    name: 'nginx ending TLS, with injection',
    bare: false,
    pid: server.pid,
    door,
    stop: () => server.stop(),
  };
}

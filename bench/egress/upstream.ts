import { mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { UpstreamCertificate } from './certificate.ts';
import { findNginx, startNginx } from './nginx.ts';
import { type Helper, startHelper } from './process.ts';

/** The answer to a small request. */
export const small = Buffer.alloc(100, 'x');
/** Served fast, by nginx where there is one. */
export const quickHost = 'quick.bench.example';
/** Served by Node: uploads and events. */
export const nodeHost = 'node.bench.example';

/** The vendor's place: which loopback port stands for which host, and the token that it wants to see. */
export interface BenchUpstream {
  ports: Record<string, number>;
  token: string;
  nginx: string | undefined;
  stop(): void;
}

/** Starts the upstreams on core 0. Whoever does not bring the token is answered 403. */
export async function startUpstreams(
  folder: string,
  { key, certificate }: UpstreamCertificate,
  token: string,
  streamBytes: number,
): Promise<BenchUpstream> {
  const node: Helper = startHelper('upstream-server.ts', 0);
  const { port } = await node.ask<{ port: number }>({ key, certificate, token });
  const nginx = findNginx();
  const stops = [() => node.stop()];
  let quick = port;
  if (nginx) {
    const root = join(folder, 'files');
    mkdirSync(root, { recursive: true });
    writeFileSync(join(folder, 'upstream.key'), key);
    writeFileSync(join(folder, 'upstream.pem'), certificate);
    writeStream(join(root, 'stream'), streamBytes);
    const server = await startNginx(
      nginx,
      join(folder, 'upstream'),
      `server { listen 127.0.0.1:PORT ssl backlog=4096; ssl_certificate ${folder}/upstream.pem; ssl_certificate_key ${folder}/upstream.key;
        root ${root}; if ($http_authorization != "Bearer ${token}") { return 403; }
        location = /small { return 200 "${small}"; } }`,
      0,
    );
    quick = server.port;
    stops.push(() => server.stop());
  }
  return {
    ports: { [quickHost]: quick, [nodeHost]: port },
    token,
    nginx,
    stop: () => {
      for (const stop of stops) stop();
    },
  };
}

/** Text of no pattern that compresses or is all zeros. */
function writeStream(path: string, bytes: number): void {
  const file = openSync(path, 'w');
  const block = Buffer.from(
    Array.from({ length: 1024 * 1024 }, (_, at) => 97 + (((at * 2_654_435_761) >>> 20) % 26)),
  );
  for (let left = bytes; left > 0; left -= block.length)
    writeSync(file, block, 0, Math.min(left, block.length));
}

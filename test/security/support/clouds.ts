import { createHash, createHmac } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { join } from 'node:path';
import type { Connect } from '../../../src/vault/egress/dialing.ts';
import { createHarness, type RunResult } from '../../sandbox/harness.ts';
import { createTestDatabase } from '../../support/database.ts';
import { createFixture } from '../../support/fixture.ts';
import { startTestEgress } from '../../vault/support/egress.ts';
import { type Seen, startUpstream } from '../../vault/support/upstream.ts';
import { storeVaultAuth } from '../../vault/support/vault-credential.ts';

/** One that gives to everybody, one that wants a token of its own first, one that takes a password. */
export const registries = {
  open: 'open.registry.example.com',
  token: 'token.registry.example.com',
  password: 'password.registry.example.com',
} as const;
const tokenHost = 'auth.registry.example.com';
const blobHost = 'blobs.registry.example.com';
const registryToken = 'a-token-of-the-registry-0123';
const registryPassword = 'registry-password-0123';
export const storageHost = 'bucket.storage.example.com';
export const storageSecret = 'storage-secret-key-0123';

const digestOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const docker = 'application/vnd.docker';
const manifestType = `${docker}.distribution.manifest.v2+json`;
const blobs: Readonly<Record<string, Buffer>> = {
  layer: Buffer.from('the layer of an image'),
  config: Buffer.from('{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'),
};
const described = (name: string, mediaType: string) => {
  const bytes = blobs[name] ?? Buffer.alloc(0);
  return { mediaType, size: bytes.length, digest: digestOf(bytes) };
};
const manifest = Buffer.from(
  JSON.stringify({
    ...{ schemaVersion: 2, mediaType: manifestType },
    config: described('config', `${docker}.container.image.v1+json`),
    layers: [described('layer', `${docker}.image.rootfs.diff.tar.gzip`)],
  }),
);

/** A registry of images (OCI distribution specification; Docker's own schema and token authentication). */
function serveRegistry(request: IncomingMessage, response: ServerResponse): void {
  const { host = '', authorization } = request.headers;
  const url = new URL(request.url ?? '/', `https://${host}`);
  const basic = `Basic ${Buffer.from(`ci:${registryPassword}`).toString('base64')}`;
  const mayCome =
    host === registries.open ||
    (host === registries.token && authorization === `Bearer ${registryToken}`) ||
    (host === registries.password && authorization === basic);
  if (!mayCome) {
    const how =
      host === registries.token
        ? `Bearer realm="https://${tokenHost}/token",service="${host}",scope="repository:team/tiny:pull"`
        : 'Basic realm="registry"';
    response.writeHead(401, { 'www-authenticate': how, 'docker-distribution-api-version': 'registry/2.0' });
    response.end('{"errors":[{"code":"UNAUTHORIZED"}]}');
  } else if (url.pathname === '/v2/') {
    response.end('{}');
  } else if (url.pathname.startsWith('/v2/team/tiny/manifests/')) {
    const headers = { 'content-type': manifestType, 'docker-content-digest': digestOf(manifest) };
    response.writeHead(200, { ...headers, 'content-length': manifest.length });
    response.end(request.method === 'HEAD' ? undefined : manifest);
  } else {
    const name = Object.keys(blobs).find((each) =>
      url.pathname.endsWith(`/blobs/${digestOf(blobs[each] ?? Buffer.alloc(0))}`),
    );
    const location = `https://${blobHost}/${name}?signature=a%2Bb%3D`;
    if (name) response.writeHead(307, { location }).end();
    else response.writeHead(404).end();
  }
}

const hmac = (key: string | Buffer, text: string) => createHmac('sha256', key).update(text).digest();
const encoded = (text: string) =>
  encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`);

/**
 * What a storage service says of a request with an AWS Signature Version 4 over it ("Create a signed AWS API request"),
 * in its header or in its query: which of the two, and whether the signature is that of the request as it arrived.
 */
export function judgeSignature(
  seen: Pick<Seen, 'method' | 'url' | 'headers'>,
  authorization?: string,
): string {
  const url = new URL(seen.url, `https://${storageHost}`);
  const inQuery = url.searchParams.get('X-Amz-Signature');
  const header = authorization ?? seen.headers.authorization ?? '';
  const [, credential = '', signedHeaders = '', signature = ''] = inQuery
    ? [
        '',
        ...['Credential', 'SignedHeaders', 'Signature'].map(
          (name) => url.searchParams.get(`X-Amz-${name}`) ?? '',
        ),
      ]
    : (/^AWS4-HMAC-SHA256 Credential=([^,]+), ?SignedHeaders=([^,]+), ?Signature=(\w+)$/.exec(header) ?? []);
  if (!signature) return 'no signature';
  const [, day = '', region = '', service = '', last = ''] = credential.split('/');
  const date = url.searchParams.get('X-Amz-Date') ?? String(seen.headers['x-amz-date']);
  const query = [...url.searchParams]
    .filter(([name]) => name !== 'X-Amz-Signature')
    .map(([name, value]) => `${encoded(name)}=${encoded(value)}`)
    .sort()
    .join('&');
  const headers = signedHeaders.split(';').map((name) => `${name}:${String(seen.headers[name]).trim()}\n`);
  const payload = inQuery ? 'UNSIGNED-PAYLOAD' : String(seen.headers['x-amz-content-sha256']);
  const canonical = [seen.method, url.pathname, query, headers.join(''), signedHeaders, payload].join('\n');
  const hashed = createHash('sha256').update(canonical).digest('hex');
  const scope = [day, region, service, last].join('/');
  const key = [day, region, service, last].reduce<string | Buffer>(hmac, `AWS4${storageSecret}`);
  const right = hmac(key, ['AWS4-HMAC-SHA256', date, scope, hashed].join('\n')).toString('hex');
  return `${inQuery ? 'query' : 'header'} ${signature === right ? 'right' : 'wrong'}`;
}

export interface Clouds {
  seen: Seen[];
  /** Runs a script in a sandbox whose only way out is a real egress process. */
  run(script: string): Promise<RunResult>;
  close(): void;
}

const publicAddress = { plain: '93.184.216.34', http2: '93.184.216.35' };

/**
 * Vendors' clouds in their own names, behind the egress process of a session, and a sandbox in front of it. `http2` is
 * one more of them, which speaks that.
 */
export async function openClouds(
  more: { http2?: { host: string; connect: Connect }; mounts?: readonly { from: string; to: string }[] } = {},
): Promise<Clouds> {
  const database = await createTestDatabase();
  const upstream = await startUpstream();
  upstream.answer = (request, response, seen) => {
    const { host = '' } = request.headers;
    if (host === tokenHost) response.end(JSON.stringify({ token: registryToken, expires_in: 300 }));
    else if (host === blobHost) response.end(blobs[/^\/(\w+)/.exec(seen.url)?.[1] ?? '']);
    else if (host === storageHost) {
      const said = seen.url.startsWith('/public/') ? 'for everybody' : judgeSignature(seen);
      response.writeHead(/right$|^for/.test(said) ? 200 : 403).end(said);
    } else serveRegistry(request, response);
  };
  const hosts = [...Object.values(registries), tokenHost, blobHost, storageHost];
  const policy = { allowed_hosts: [...hosts, ...(more.http2 ? [more.http2.host] : [])] };
  const fixture = await createFixture(database.database, { policy });
  const match = { host: registries.password, path_prefix: '/v2' };
  await storeVaultAuth(
    database.database,
    fixture,
    { type: 'basic', username: 'ci', password: registryPassword, match },
    'Registry',
  );
  const { egress, network } = await startTestEgress(
    database,
    {},
    {
      connect: (address, port, options) =>
        more.http2 && address === publicAddress.http2
          ? more.http2.connect(address, port, options)
          : network.connect(address, port),
    },
  );
  // Not mapped, so that each is asked under its own name.
  for (const host of hosts) network.names.set(host, [publicAddress.plain]);
  network.machines.set(publicAddress.plain, upstream.port);
  if (more.http2) network.names.set(more.http2.host, [publicAddress.http2]);
  const { caCertificatePem } = await egress.openSession(fixture.organizationId, fixture.sessionId);
  const harness = await createHarness();
  let count = 0;
  return {
    seen: upstream.seen,
    run: (script) =>
      harness.run(script, {
        ...{ caCertificatePem, mounts: more.mounts ?? [] },
        directory: join(harness.home.open, 'sessions', `cloud-${++count}`),
        onListener: (handle, role) => egress.addListener(fixture.sessionId, handle, role),
      }),
    close() {
      upstream.close();
      harness.clear();
    },
  };
}

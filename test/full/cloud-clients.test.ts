import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import type { ServerHttp2Stream } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Clouds, openClouds, storageHost, storageSecret } from '../security/support/clouds.ts';
import { type Http2Upstream, startHttp2Upstream } from '../vault/support/http2-upstream.ts';

const grpcHost = 'grpc.example.com';
/** The newest of those for Python: which versions an index of its wheels has differs. */
const packages = {
  npm: '@grpc/grpc-js@1.14.3',
  pip: ['grpcio', 'boto3'],
};
const installed = mkdtempSync(join(tmpdir(), 'tagalong-cloud-clients-'));
let upstream: Http2Upstream;
let clouds: Clouds;

/** Installs what a project of an agent's would have, where its sandbox sees it. */
beforeAll(async () => {
  chmodSync(installed, 0o755);
  const options = ['--no-audit', '--no-fund', '--ignore-scripts', '--prefix', join(installed, 'node')];
  execFileSync('npm', ['install', ...options, packages.npm], { cwd: installed, stdio: 'pipe' });
  const target = ['--quiet', '--target', join(installed, 'python'), '--only-binary=:all:'];
  // For the Python of the sandbox, which is the system's.
  const version = execFileSync('/usr/bin/python3', [
    '-c',
    'import sys; print("%d.%d" % sys.version_info[:2])',
  ]);
  const python = ['--python-version', version.toString().trim()];
  execFileSync('python3', ['-m', 'pip', 'install', ...target, ...python, ...packages.pip], { stdio: 'pipe' });
  upstream = await startHttp2Upstream(grpcHost, false);
  upstream.answer = serveGreeter;
  clouds = await openClouds({
    http2: { host: grpcHost, connect: upstream.connect },
    mounts: [{ from: installed, to: '/opt/tagalong/clients' }],
  });
}, 600_000);
afterAll(() => {
  clouds?.close();
  upstream?.close();
  rmSync(installed, { recursive: true, force: true });
});
beforeEach(() => {
  clouds.seen.length = 0;
  upstream.seen.length = 0;
});

/** Says each message back as it comes, and its status in the trailers. */
function serveGreeter(stream: ServerHttp2Stream): void {
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-said': 'in trailers' }));
  stream.pipe(stream, { end: true });
}

const modes = {
  'with the proxy variables': '',
  'without any proxy variable':
    'unset HTTP_PROXY HTTPS_PROXY http_proxy https_proxy ALL_PROXY all_proxy NO_PROXY no_proxy NODE_USE_ENV_PROXY\n',
};

const nodeGrpc = `cat > /tmp/grpc.cjs <<'J'
const grpc = require('/opt/tagalong/clients/node/node_modules/@grpc/grpc-js');
const client = new grpc.Client('${grpcHost}:443', grpc.credentials.createSsl());
const same = (value) => value;
const call = client.makeUnaryRequest('/hello.Greeter/Say', same, same, Buffer.from('one'), (error, answer) => {
  console.log(error ? String(error) : 'unary ' + answer);
  const chat = client.makeBidiStreamRequest('/hello.Greeter/Chat', same, same);
  let heard = 0;
  chat.on('data', (said) => {
    console.log('stream ' + said);
    heard += 1;
    if (heard === 1) chat.write(Buffer.from('three'));
    else chat.end();
  });
  chat.on('status', ({ code, metadata }) => { console.log(code, metadata.get('x-said').join()); client.close(); });
  chat.on('error', (broken) => console.log(String(broken)));
  chat.write(Buffer.from('two'));
});
J
node /tmp/grpc.cjs 2>&1`;

const pythonGrpc = `PYTHONPATH=/opt/tagalong/clients/python /usr/bin/python3 - <<'P' 2>&1
import grpc, queue
with grpc.secure_channel('${grpcHost}:443', grpc.ssl_channel_credentials()) as channel:
    same = dict(request_serializer=None, response_deserializer=None)
    print('unary', channel.unary_unary('/hello.Greeter/Say', **same)(b'one', timeout=20).decode())
    asked = queue.SimpleQueue()
    asked.put(b'two')
    chat = channel.stream_stream('/hello.Greeter/Chat', **same)(iter(asked.get, None), timeout=20)
    for heard, said in enumerate(chat):
        print('stream', said.decode())
        asked.put(b'three' if heard == 0 else None)
    print(chat.code().value[0], dict(chat.trailing_metadata())['x-said'])
P`;

describe.each(Object.entries(modes))('%s', (_, before) => {
  test.each([
    ['Node', nodeGrpc],
    ['Python', pythonGrpc],
  ])('the gRPC library of %s calls, streams both ways and reads the trailers', async (_name, script) => {
    const { stdout } = await clouds.run(before + script);
    expect(stdout).toBe('unary one\nstream two\nstream three\n0 in trailers\n');
    expect(upstream.seen.map((headers) => headers[':path'])).toEqual([
      '/hello.Greeter/Say',
      '/hello.Greeter/Chat',
    ]);
    expect(new Set(upstream.protocols)).toEqual(new Set(['h2']));
  });

  test('boto3 reads what is public, and its presigned URLs hold; what it signs itself does not', async () => {
    const { stdout } = await clouds.run(`${before}export PYTHONPATH=/opt/tagalong/clients/python
export AWS_ACCESS_KEY_ID=AKIDEXAMPLE AWS_SECRET_ACCESS_KEY=${storageSecret} AWS_DEFAULT_REGION=eu-central-1
/usr/bin/python3 -W ignore - <<'P' 2>&1
import boto3, botocore, urllib.request
from botocore.config import Config
at = dict(endpoint_url='https://${storageHost}', region_name='eu-central-1')
path = dict(addressing_style='path')
public = boto3.client('s3', config=Config(signature_version=botocore.UNSIGNED, s3=path), **at)
print('public', public.get_object(Bucket='public', Key='a b')['Body'].read().decode())
own = boto3.client('s3', config=Config(signature_version='s3v4', s3=path, retries=dict(max_attempts=0)), **at)
url = own.generate_presigned_url('get_object', Params=dict(Bucket='private', Key='a b/c+d~e'), ExpiresIn=300)
print('presigned', urllib.request.urlopen(url).read().decode())
try: print(own.get_object(Bucket='private', Key='x')['Body'].read())
except botocore.exceptions.ClientError as e: print('signed', e.response['ResponseMetadata']['HTTPStatusCode'])
P`);
    expect(stdout).toBe('public for everybody\npresigned query right\nsigned 403\n');
    expect(clouds.seen.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
  });
});

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  type Clouds,
  judgeSignature,
  openClouds,
  registries,
  storageHost,
  storageSecret,
} from './support/clouds.ts';

let clouds: Clouds;
beforeAll(async () => {
  clouds = await openClouds();
});
afterAll(() => clouds.close());
beforeEach(() => {
  clouds.seen.length = 0;
});

/** What `docker pull` asks of a registry, in its order; prints each status, and the layer at the end. */
const pull = (registry: string) => `
base=https://${registry}/v2
accept='Accept: application/vnd.docker.distribution.manifest.v2+json'
ask() { curl -sS -o /tmp/body -D /tmp/head -w '%{http_code} ' "$@"; }
token=''
auth() { [ -n "$token" ] && printf 'Authorization: Bearer %s' "$token" || printf 'X-None: 1'; }
ask $base/
if grep -qi '^www-authenticate: bearer' /tmp/head; then
  realm=$(sed -n 's/.*realm="\\([^"]*\\)".*/\\1/p' /tmp/head)
  service=$(sed -n 's/.*service="\\([^"]*\\)".*/\\1/p' /tmp/head)
  scope=$(sed -n 's/.*scope="\\([^"]*\\)".*/\\1/p' /tmp/head)
  ask -G --data-urlencode "service=$service" --data-urlencode "scope=$scope" "$realm"
  token=$(sed -n 's/.*"token":"\\([^"]*\\)".*/\\1/p' /tmp/body)
fi
ask -I -H "$accept" -H "$(auth)" $base/team/tiny/manifests/latest
digest=$(tr -d '\\r' < /tmp/head | sed -n 's/^docker-content-digest: //ip')
ask -H "$accept" -H "$(auth)" $base/team/tiny/manifests/$digest
[ "sha256:$(sha256sum < /tmp/body | cut -d' ' -f1)" = "$digest" ] && printf 'whole '
blob=$(sed -n 's/.*"layers":\\[{[^}]*"digest":"\\([^"]*\\)".*/\\1/p' /tmp/body)
ask -L -H "$(auth)" $base/team/tiny/blobs/$blob
cat /tmp/body`;

describe('a registry of images', () => {
  test('that asks for nothing is pulled from, over a redirect to another host', async () => {
    const { stdout, stderr } = await clouds.run(pull(registries.open));
    expect(stderr).toBe('');
    expect(stdout).toBe('200 200 200 whole 200 the layer of an image');
    expect(clouds.seen.map(({ method, headers }) => `${method} ${headers.host}`)).toEqual([
      ...['GET', 'HEAD', 'GET', 'GET'].map((method) => `${method} ${registries.open}`),
      'GET blobs.registry.example.com',
    ]);
    expect(clouds.seen.at(-1)?.url).toBe('/layer?signature=a%2Bb%3D');
  });

  test('that takes a password gets it from a vault, and the host of its blobs does not', async () => {
    const { stdout, stderr } = await clouds.run(pull(registries.password));
    expect(stderr).toBe('');
    expect(stdout).toBe('200 200 200 whole 200 the layer of an image');
    expect(clouds.seen.map(({ headers }) => headers.authorization?.split(' ')[0])).toEqual([
      ...['Basic', 'Basic', 'Basic', 'Basic'],
      undefined,
    ]);
  });

  test.for([registries.open, registries.password])(
    'is read by the real docker command, where it is installed: %s',
    async (registry, { skip }) => {
      if ((await clouds.run('command -v docker')).code !== 0) skip('docker is not installed');
      const { stdout, stderr } = await clouds.run(`docker manifest inspect ${registry}/team/tiny:latest`);
      expect(stderr).toBe('');
      expect(JSON.parse(stdout)).toMatchObject({ schemaVersion: 2, layers: [{ size: 21 }] });
      expect(clouds.seen.some(({ headers }) => headers['user-agent']?.startsWith('Docker-Client/'))).toBe(
        true,
      );
    },
  );

  test('that gives out tokens of its own says so, and what the sandbox got there is taken off', async () => {
    const { stdout } = await clouds.run(pull(registries.token));
    expect(stdout).toMatch(/^401 200 401 401 401 /);
    const asked = clouds.seen.find(({ headers }) => headers.host === 'auth.registry.example.com');
    const query = new URL(asked?.url ?? '', 'https://auth.registry.example.com').searchParams;
    expect(Object.fromEntries(query)).toEqual({
      service: registries.token,
      scope: 'repository:team/tiny:pull',
    });
    expect(clouds.seen.filter(({ headers }) => headers.authorization !== undefined)).toEqual([]);
  });
});

/** Signs as the command line tools of AWS do, by what every Python has; prints the status, the answer, and what it sent. */
const sign = (inQuery: boolean) => `exec /usr/bin/python3 - <<'P'
import hashlib, hmac, urllib.error, urllib.parse as u, urllib.request as r
host, secret, date, region = '${storageHost}', '${storageSecret}', '20300101T120000Z', 'eu-central-1'
path, body = '/a%20b/c%2Bd~e', b'' if ${inQuery ? 'True' : 'False'} else b'some bytes \\x00\\xff'
scope = f'{date[:8]}/{region}/s3/aws4_request'
quote = lambda text: u.quote(text, safe='-_.~')
query = {'list-type': '2', 'prefix': 'a/b c+d', 'empty': ''}
headers = {'host': host}
if ${inQuery ? 'True' : 'False'}:
    query |= {'X-Amz-Algorithm': 'AWS4-HMAC-SHA256', 'X-Amz-Credential': f'AKIDEXAMPLE/{scope}', 'X-Amz-Date': date,
              'X-Amz-Expires': '300', 'X-Amz-SignedHeaders': 'host'}
    payload = 'UNSIGNED-PAYLOAD'
else:
    payload = hashlib.sha256(body).hexdigest()
    headers |= {'x-amz-content-sha256': payload, 'x-amz-date': date, 'x-amz-meta-note': 'a  b', 'content-type': 'text/plain'}
names = sorted(headers)
canonical_query = '&'.join(f'{quote(k)}={quote(v)}' for k, v in sorted(query.items()))
canonical = '\\n'.join(['GET' if ${inQuery ? 'True' : 'False'} else 'PUT', path, canonical_query,
    ''.join(f'{n}:{headers[n]}\\n' for n in names), ';'.join(names), payload])
to_sign = '\\n'.join(['AWS4-HMAC-SHA256', date, scope, hashlib.sha256(canonical.encode()).hexdigest()])
key = ('AWS4' + secret).encode()
for part in scope.split('/'): key = hmac.new(key, part.encode(), hashlib.sha256).digest()
signature = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
url = f'https://{host}{path}?{canonical_query}'
authorization = f'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/{scope}, SignedHeaders={";".join(names)}, Signature={signature}'
if ${inQuery ? 'True' : 'False'}: asked = r.Request(f'{url}&X-Amz-Signature={signature}')
else:
    asked = r.Request(url, data=body, method='PUT', headers={k: v for k, v in headers.items() if k != 'host'})
    asked.add_header('Authorization', authorization)
    asked.add_header('X-Amz-Security-Token', 'a-session-token-0123')
try: answer = r.urlopen(asked)
except urllib.error.HTTPError as e: answer = e
print(answer.status, answer.read().decode())
print(authorization)
P`;

describe('a request with an AWS signature', () => {
  test('in its query, as a presigned URL, is passed on so that the signature is right', async () => {
    const { stdout, stderr } = await clouds.run(sign(true));
    expect(stderr).toBe('');
    expect(stdout).toMatch(/^200 query right\n/);
    expect(clouds.seen).toHaveLength(1);
  });

  test('in its header is passed on as it was signed, without that header and without its token', async () => {
    const { stdout, stderr } = await clouds.run(sign(false));
    expect(stderr).toBe('');
    const [said, authorization] = stdout.split('\n');
    expect(said).toBe('403 no signature');
    const [seen] = clouds.seen;
    if (!seen) throw new Error('nothing arrived');
    expect([seen.headers.authorization, seen.headers['x-amz-security-token']]).toEqual([
      undefined,
      undefined,
    ]);
    // Everything that was signed has arrived as it was: with the header it would have been right.
    expect(judgeSignature(seen, authorization)).toBe('header right');
    expect(judgeSignature({ ...seen, url: '/other' }, authorization)).toBe('header wrong');
    expect(seen.headers['x-amz-content-sha256']).toMatch(/^[0-9a-f]{64}$/);
  });
});

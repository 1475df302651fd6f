import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { defaults } from '../../src/config.ts';
import { isPublicAddress } from '../../src/vault/egress/addresses.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture, type Fixture } from '../support/fixture.ts';
import {
  type Door,
  exchangeInside,
  openSecureTunnel,
  openTunnel,
  rawExchange,
  readAll,
} from './support/client.ts';
import { startTestEgress, type TestEgress } from './support/egress.ts';
import { startUpstream, type Upstream } from './support/upstream.ts';

const read = <T>(name: string): T =>
  JSON.parse(readFileSync(new URL(`./data/${name}`, import.meta.url), 'utf8')) as T;
const addresses = read<{ host: string; meaning: string; expect: 'deny' | 'allow' }[]>('ssrf-corpus.json');
const requests = read<{ id: string; raw_latin1_b64: string }[]>('http1-corpus.json');

describe('the corpora', () => {
  let fixture: Fixture;
  let upstream: Upstream;
  let world: TestEgress;
  let door: Door;

  beforeAll(async () => {
    const test = await createTestDatabase();
    upstream = await startUpstream();
    fixture = await createFixture(test.database, {
      policy: { allowed_hosts: ['*.names.example.com', 'api.example.com'] },
    });
    // Each row opens connections of its own.
    const limits = { ...defaults.egress, maxConnectionsPerSecond: 10_000 };
    world = await startTestEgress(test, { limits });
    world.network.names.set('api.example.com', ['93.184.216.34']);
    world.network.machines.set('93.184.216.34', upstream.port);
    door = await world.open(fixture);
  });

  it.each(addresses)(
    '$host ($meaning) is refused as a CONNECT target and in absolute form',
    async ({ host }) => {
      world.network.lookups.length = 0;
      const wire = Buffer.from(host, 'utf8').toString('latin1');
      for (const named of host.includes(':') ? [`[${wire}]`, wire] : [wire]) {
        for (const port of [443, 80]) {
          expect(
            await rawExchange(
              door.port,
              `CONNECT ${named}:${port} HTTP/1.1\r\nHost: ${named}:${port}\r\n\r\n`,
            ),
          ).toMatch(/^HTTP\/1\.1 4\d\d /);
        }
        expect(
          await rawExchange(
            door.port,
            `GET http://${named}/ HTTP/1.1\r\nHost: ${named}\r\nConnection: close\r\n\r\n`,
          ),
        ).toMatch(/^HTTP\/1\.1 4\d\d /);
      }
      expect(world.network.lookups).toEqual([]);
    },
  );

  it.each(addresses)(
    '$host ($meaning) as the answer of a resolver: $expect',
    async ({ host, expect: expected }) => {
      const name = `n${addresses.findIndex((row) => row.host === host)}.names.example.com`;
      world.network.names.set(name, [host]);
      world.network.dialled.length = 0;
      const answer = await exchangeInside(
        door,
        name,
        `GET / HTTP/1.1\r\nHost: ${name}\r\nConnection: close\r\n\r\n`,
      );
      if (expected === 'allow') {
        expect(isPublicAddress(host)).toBe(true);
        expect(world.network.dialled).toEqual([`${host}:443`]);
      } else {
        expect(answer).toMatch(/^HTTP\/1\.1 403 /);
        expect(world.network.dialled).toEqual([]);
      }
    },
  );

  it.each(requests)('$id is refused or passed on strictly', async ({ raw_latin1_b64: raw, id }) => {
    upstream.seen.length = 0;
    const before = upstream.raw().length;
    const bytes = Buffer.from(raw, 'base64').toString('latin1').replaceAll('{HOST}', 'api.example.com');
    const whole = (text: string) => /^HTTP\/1\.1 \d{3}[\s\S]*\}\}?$/.test(text);
    const secure = await openSecureTunnel(door, 'api.example.com');
    secure.write(Buffer.from(bytes, 'latin1'));
    const answer = await readAll(secure, whole);
    // Whatever the bytes left behind in the parser comes before this one.
    secure.write('GET /last HTTP/1.1\r\nHost: api.example.com\r\nConnection: close\r\n\r\n');
    await readAll(secure);
    expect(answer, id).toMatch(/^HTTP\/1\.1 (?:100|200|4\d\d|50[15]) /);
    upstream.seen = upstream.seen.filter(({ url }) => url !== '/last');
    const sent = upstream.raw().slice(before);
    // Every request line that reached the upstream is one that our side wrote; a body may hold any text.
    expect(upstream.seen.filter(({ url }) => url.includes('SMUGGLED'))).toEqual([]);
    expect(upstream.seen.length).toBeLessThanOrEqual(1);
    const heads = upstream.seen.flatMap(({ rawHeaders }) => rawHeaders).join('\n');
    expect(heads).not.toMatch(/evil|agent/i);
    if (upstream.seen.length === 0) expect(sent).not.toMatch(/ \/[ab]/);
    for (const { headers, trailers } of upstream.seen) {
      expect(headers.host).toBe('api.example.com');
      expect(trailers).toEqual({});
    }
  });

  it('still serves after all of them', async () => {
    expect(await openTunnel(door.port, 'api.example.com:443')).not.toBeTypeOf('string');
    const rows = await world.records(fixture.sessionId);
    expect(rows.length).toBeGreaterThan(addresses.length + requests.length);
    expect(rows.every(({ path }) => !path.includes('?'))).toBe(true);
  });
});

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { connectTrusting, dialMapped, dialPublic, systemConnect } from '../../src/vault/egress/dialing.ts';
import { FairQueue } from '../../src/vault/egress/fair-queue.ts';
import { RefusedError } from '../../src/vault/egress/refusal.ts';
import { UpstreamPools } from '../../src/vault/egress/upstream-pools.ts';
import { askUpstream } from './support/ask-upstream.ts';

describe('dialling', () => {
  let server: TlsServer;
  let origin: URL;
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-tls-'));
  const bytes: Buffer[] = [];

  beforeAll(async () => {
    const arguments_ = [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '1',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=DNS:localhost',
    ];
    execFileSync(
      'openssl',
      [...arguments_, '-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')],
      { stdio: 'ignore' },
    );
    server = createTlsServer(
      { key: readFileSync(join(folder, 'key.pem')), cert: readFileSync(join(folder, 'cert.pem')) },
      (socket) => socket.on('data', (chunk) => bytes.push(chunk)).on('error', () => {}),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    origin = new URL(`https://localhost:${(server.address() as AddressInfo).port}`);
  });

  afterAll(() => {
    server.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('trusts what the operator adds, for its own name only', async () => {
    const connect = connectTrusting([readFileSync(join(folder, 'cert.pem'), 'utf8')]);
    const port = Number(origin.port);
    const socket = await connect('127.0.0.1', port, { servername: 'localhost', timeoutMs: 5_000 });
    expect(socket.writable).toBe(true);
    socket.destroy();
    await expect(
      connect('127.0.0.1', port, { servername: 'other.example.com', timeoutMs: 5_000 }),
    ).rejects.toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  });

  it('writes nothing to an upstream whose certificate is not trusted, and tells no address', async () => {
    const pools = new UpstreamPools({ resolve: async () => ['127.0.0.1'], connect: systemConnect });
    const route = { kind: 'mapped' as const, origin, path: '/' };
    const asked = askUpstream(pools.for(route), { headers: ['authorization', 'Bearer secret'] });
    await expect(asked).rejects.toMatchObject({
      refusal: {
        rule: 'upstream.certificate',
        status: 502,
        message: expect.not.stringContaining('127.0.0.1'),
      },
    });
    expect(Buffer.concat(bytes).toString()).toBe('');
    await pools.destroy();
  });

  it('names the policy host in TLS, whatever address it dials', async () => {
    const dialled: unknown[] = [];
    const connect = async (address: string, port: number, { servername }: { servername: string | null }) => {
      dialled.push([address, port, servername]);
      throw Object.assign(new Error('refused'), { code: 'ECONNREFUSED' });
    };
    await expect(
      dialPublic('api.example.com', async () => ['10.0.0.1', '1.1.1.1', '2606:4700:4700::1111'], connect),
    ).rejects.toThrow('refused');
    expect(dialled).toEqual([
      ['1.1.1.1', 443, 'api.example.com'],
      ['2606:4700:4700::1111', 443, 'api.example.com'],
    ]);
  });

  it('does not try another address after a wrong certificate', async () => {
    let tries = 0;
    const connect = async () => {
      tries += 1;
      throw Object.assign(new Error('wrong name'), { code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
    };
    await expect(dialPublic('api.example.com', async () => ['1.1.1.1', '1.0.0.1'], connect)).rejects.toThrow(
      'wrong name',
    );
    expect(tries).toBe(1);
  });

  it('bounds a huge answer, and refuses an empty one and a failing resolver', async () => {
    let tries = 0;
    const connect = async (): Promise<Socket> => {
      tries += 1;
      throw new Error('refused');
    };
    const many = Array.from({ length: 10_000 }, (_, i) => `1.${(i >> 8) & 255}.${i & 255}.1`);
    await expect(dialPublic('h.example.com', async () => many, connect)).rejects.toThrow('refused');
    expect(tries).toBe(8);
    await expect(dialPublic('h.example.com', async () => [], connect)).rejects.toBeInstanceOf(RefusedError);
    const failing = () => Promise.reject(new Error('SERVFAIL 10.0.0.53'));
    await expect(dialPublic('h.example.com', failing, connect)).rejects.toMatchObject({
      refusal: { rule: 'upstream.unresolved', message: expect.not.stringContaining('10.0.0.53') },
    });
  });

  it('gives up on an address that does not answer', async () => {
    const silent = createServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    await expect(
      systemConnect('127.0.0.1', port, { servername: 'h.example.com', timeoutMs: 20 }),
    ).rejects.toMatchObject({ code: 'ETIMEDOUT' });
    silent.close();
  });

  it('dials what the operator mapped without vetting it', async () => {
    const dialled: unknown[] = [];
    const connect = async (address: string, port: number, { servername }: { servername: string | null }) => {
      dialled.push([address, port, servername]);
      return {} as Socket;
    };
    const never = () => Promise.reject(new Error('not asked'));
    await dialMapped(new URL('http://127.0.0.1:4003/api/'), never, connect);
    await dialMapped(new URL('https://[::1]/'), never, connect);
    await dialMapped(new URL('https://ghe.corp.example'), async () => ['10.9.8.7'], connect);
    expect(dialled).toEqual([
      ['127.0.0.1', 4003, null],
      ['::1', 443, '::1'],
      ['10.9.8.7', 443, 'ghe.corp.example'],
    ]);
  });
});

it('what waits for its turn when its session is closed is not dialled', async () => {
  const lane = new FairQueue({ now: () => 0, afterPass: () => {} }).lane();
  while (!lane.take(1));
  const dialled: string[] = [];
  const connect = async (address: string) => {
    dialled.push(address);
    return new Socket();
  };
  const pools = new UpstreamPools({ resolve: async () => ['93.184.216.34'], connect }, lane);
  const route = { kind: 'public' as const, host: 'files.example.com', path: '/' };
  const alone = pools.dial(route);
  const asked = [false, true].map((http2) => askUpstream(pools.for(route, http2), { path: '/' }));
  const all = Promise.allSettled([alone, ...asked]);
  await pools.destroy();
  lane.close();
  expect((await all).map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
  await expect(alone).rejects.toThrow('Its session was closed meanwhile.');
  expect(dialled).toEqual([]);
});

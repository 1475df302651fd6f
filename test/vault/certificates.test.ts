import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type SecureContext, TLSSocket } from 'node:tls';
import { expect, it } from 'vitest';
import { SessionAuthority } from '../../src/vault/egress/certificates.ts';

async function leafOf(context: SecureContext, host: string): Promise<X509Certificate> {
  const server = createTcpServer((socket) => {
    new TLSSocket(socket, { isServer: true, secureContext: context }).on('error', () => {});
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const socket = connect({ port, host: '127.0.0.1', servername: host, rejectUnauthorized: false });
  await new Promise((resolve) => socket.once('secureConnect', resolve));
  const certificate = socket.getPeerX509Certificate();
  socket.destroy();
  server.close();
  if (!certificate) throw new Error('no certificate');
  return certificate;
}

it('issues certificates that the strictest client takes', async () => {
  const authority = await SessionAuthority.create();
  const folder = mkdtempSync(join(tmpdir(), 'tagalong-ca-'));
  writeFileSync(join(folder, 'ca.pem'), authority.certificatePem);
  for (const host of ['api.example.com', `${'long-label.'.repeat(8)}example.com`]) {
    const leaf = await leafOf(await authority.contextFor(host), host);
    writeFileSync(join(folder, 'leaf.pem'), leaf.toString());
    const arguments_ = [
      'verify',
      '-x509_strict',
      '-purpose',
      'sslserver',
      '-verify_hostname',
      host,
      '-CAfile',
    ];
    expect(
      String(execFileSync('openssl', [...arguments_, join(folder, 'ca.pem'), join(folder, 'leaf.pem')])),
    ).toContain('OK');
    expect(leaf.subjectAltName).toBe(`DNS:${host}`);
    expect(leaf.checkHost('other.example.com')).toBeUndefined();
    expect(leaf.serialNumber.length).toBeGreaterThanOrEqual(16);
    expect(Date.parse(leaf.validFrom)).toBeLessThan(Date.now() - 50 * 60_000);
  }
  rmSync(folder, { recursive: true, force: true });
});

it('brings an authority back that signs under the same certificate', async () => {
  const authority = await SessionAuthority.create();
  const again = await SessionAuthority.import(await authority.export());
  expect(again.certificatePem).toBe(authority.certificatePem);
  const leaf = await leafOf(await again.contextFor('a.example.com'), 'a.example.com');
  expect(leaf.verify(new X509Certificate(authority.certificatePem).publicKey)).toBe(true);
  expect(leaf.verify(new X509Certificate((await SessionAuthority.create()).certificatePem).publicKey)).toBe(
    false,
  );
});

it('remembers a bounded number of hosts, and makes a certificate anew before it ends', async () => {
  let now = Date.now();
  const authority = await SessionAuthority.create(() => now);
  const first = await authority.contextFor('a.example.com');
  expect(await authority.contextFor('a.example.com')).toBe(first);
  now += 6.5 * 24 * 3_600_000;
  const renewed = await authority.contextFor('a.example.com');
  expect(renewed).not.toBe(first);
  for (let i = 0; i < 256; i++) await authority.contextFor(`h${i}.example.com`);
  expect(await authority.contextFor('a.example.com')).not.toBe(renewed);
});

import { randomBytes, X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { SessionAuthority } from '../../src/vault/egress/certificates.ts';
import { SessionAuthorities } from '../../src/vault/egress/session-authorities.ts';

const hourMs = 3_600_000;
const logger = pino({ level: 'silent' });
const keyOf = (authority: SessionAuthority) => authority.export();

test('no two sessions have the same one, however many are opened at once', async () => {
  const authorities = new SessionAuthorities(randomBytes(32), Date.now, logger);
  const taken = await Promise.all(Array.from({ length: 12 }, () => authorities.next()));
  await sleep(100);
  taken.push(...(await Promise.all(Array.from({ length: 6 }, () => authorities.next()))));
  expect(new Set(await Promise.all(taken.map(keyOf))).size).toBe(18);
  await authorities.close();
});

test('one that has waited long, or is of the future, is not given', async () => {
  let now = Date.UTC(2026, 0, 1);
  const authorities = new SessionAuthorities(randomBytes(32), () => now, logger);
  await sleep(300);
  const validFrom = async () => {
    const { certificatePem } = await authorities.next();
    return Date.parse(new X509Certificate(certificatePem).validFrom);
  };
  expect(await validFrom()).toBe(now - hourMs);
  now += 2 * hourMs;
  expect(await validFrom()).toBe(now - hourMs);
  await sleep(300);
  now -= 48 * hourMs;
  expect(await validFrom()).toBe(now - hourMs);
  await authorities.close();
});

test('what was sealed opens for its session and no other, and after closing one still comes', async () => {
  const authorities = new SessionAuthorities(randomBytes(32), Date.now, logger);
  const authority = await authorities.next();
  const sealed = await authorities.seal('org_1', 'sesn_1', authority);
  expect(await keyOf(await authorities.open('org_1', 'sesn_1', sealed))).toBe(await keyOf(authority));
  await expect(authorities.open('org_1', 'sesn_2', sealed)).rejects.toThrow();
  await expect(authorities.open('org_2', 'sesn_1', sealed)).rejects.toThrow();
  await authorities.close();
  expect((await authorities.next()).certificatePem).toContain('BEGIN CERTIFICATE');
});

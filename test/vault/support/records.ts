import type { EgressRecord } from '../../../src/vault/egress/records.ts';

/** A record of an ordinary request. */
export const makeRecord = (more: Partial<EgressRecord> = {}): EgressRecord => ({
  organizationId: 'org_a',
  sessionId: 'sesn_a',
  installationId: null,
  turnId: null,
  at: new Date(),
  method: 'GET',
  scheme: 'https',
  host: 'h',
  port: 443,
  path: '/',
  status: 200,
  bytesUp: 0,
  bytesDown: 0,
  durationMs: 0,
  credential: null,
  decision: 'allowed',
  rule: 'r',
  ...more,
});

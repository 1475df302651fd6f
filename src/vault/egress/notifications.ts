import { createHmac } from 'node:crypto';
import { eq } from 'drizzle-orm';
import { withOrganization } from '../../store/organization.ts';
import { type EgressDecision, notificationUrls } from '../../store/schema.ts';
import type { RootKeys } from '../keys.ts';
import { notificationBinding, openCredential, SealError } from '../seal.ts';
import { canonicalHost } from './host-names.ts';
import type { EgressParts } from './parts.ts';
import type { PlatformPools } from './platform-pools.ts';
import { RefusedError, refuse } from './refusal.ts';

/** A notice on its way to one address. */
export interface Notification {
  organizationId: string;
  urlId: string;
  /** The same for every try, so that a receiver knows a repeated one. */
  id: string;
  /** JSON. */
  body: string;
}

/** `final`: another try would end alike. `gone`: the address is no longer on the list. */
export type NotificationResult =
  | { ok: true; status: number }
  | { ok: false; status: number | null; final: boolean; message: string };

const timeoutMs = 15_000;
const secretPrefix = 'whsec_';
/** RFC 9110: the receiver wants no more. */
const goneStatus = 410;

/**
 * The signature of the Standard Webhooks specification (1.0.0): `v1,` and base64 of HMAC-SHA256 over
 * `<id>.<timestamp>.<body>`, keyed with what follows `whsec_`. Pure.
 */
export function signNotification(secret: string, id: string, timestamp: number, body: string): string {
  const key = Buffer.from(secret.slice(secretPrefix.length), 'base64');
  return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
}

/**
 * Posts a notice to an address that a tenant set: over TLS, at a public address, under a right certificate, signed and
 * recorded. What an operator mapped for vendors does not apply: nobody's address leads into this network.
 */
export async function sendNotification(
  parts: EgressParts,
  pools: PlatformPools,
  rootKeys: RootKeys,
  { organizationId, urlId, id, body }: Notification,
): Promise<NotificationResult> {
  const [row] = await withOrganization(parts.database, organizationId, (tx) =>
    tx.select().from(notificationUrls).where(eq(notificationUrls.id, urlId)),
  );
  if (!row) return { ok: false, status: null, final: true, message: 'The address was taken off the list.' };
  const binding = notificationBinding(organizationId, urlId);
  const opened = await openCredential(rootKeys, binding, row.sealed).catch((error: unknown) => {
    if (error instanceof SealError) return undefined;
    throw error;
  });
  if (!opened) {
    const message = 'The stored address does not open: remove it and add it again.';
    return { ok: false, status: null, final: true, message };
  }
  const { url = '', signing_secret: secret = '' } = opened;
  const at = new Date(parts.now());
  const target = new URL(url);
  const record = (status: number | null, decision: EgressDecision, rule: string) =>
    parts.recorder.add({
      organizationId,
      sessionId: null,
      installationId: null,
      turnId: null,
      at,
      method: 'POST',
      scheme: 'https',
      host: target.hostname,
      port: 443,
      // The path can be the receiver's secret.
      path: '/…',
      status,
      bytesUp: Buffer.byteLength(body),
      bytesDown: 0,
      durationMs: parts.now() - at.getTime(),
      credential: row.name,
      decision,
      rule,
    });
  try {
    const host = canonicalHost(target.hostname);
    if (target.protocol !== 'https:' || target.port || !host.ok) {
      throw new RefusedError(refuse('notification.url', 'Notices go to https addresses with a name only.'));
    }
    const timestamp = Math.floor(at.getTime() / 1000);
    const answer = await pools
      .for({ publicationId: `notify ${organizationId}` })
      .client({ kind: 'public', host: host.host, path: target.pathname + target.search })
      .request({
        method: 'POST',
        path: target.pathname + target.search,
        headers: {
          'content-type': 'application/json',
          'user-agent': 'tagalong',
          'webhook-id': id,
          'webhook-timestamp': String(timestamp),
          'webhook-signature': signNotification(secret, id, timestamp, body),
        },
        body,
        headersTimeout: timeoutMs,
        bodyTimeout: timeoutMs,
      });
    await answer.body.dump({ limit: 64 * 1024 });
    const { statusCode: status } = answer;
    record(status, 'allowed', 'notification');
    if (status >= 200 && status < 300) return { ok: true, status };
    const message = `${host.host} answered ${status}.`;
    return { ok: false, status, final: status === goneStatus, message };
  } catch (error) {
    const refusal = error instanceof RefusedError ? error.refusal : undefined;
    record(null, refusal?.decision ?? 'failed', refusal?.rule ?? 'upstream.broken');
    const message = refusal?.message ?? `${target.hostname} did not answer.`;
    return { ok: false, status: null, final: refusal?.decision === 'refused', message };
  }
}

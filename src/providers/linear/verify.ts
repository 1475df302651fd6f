import type { Verdict, WebhookRequest, WebhookRules } from '../provider.ts';
import { isJsonObject, isSignedByOne, webhookJson } from '../webhook-body.ts';

const maxSkewMs = 60_000;

/**
 * Linear's signing: HMAC-SHA256 of the body, bare hex. Freshness is the signed field `webhookTimestamp` (ms), 60 s on
 * either side; the header of that name is not signed and is not read. https://linear.app/developers/webhooks
 */
function verify(request: WebhookRequest, secrets: readonly string[], now: Date): Verdict {
  const signature = request.headers['linear-signature'];
  if (!signature) return { ok: false, reason: 'unsigned' };
  if (!isSignedByOne(secrets, '', signature, [request.body])) return { ok: false, reason: 'wrong_signature' };
  const body = webhookJson(request);
  const timestamp = isJsonObject(body) ? body.webhookTimestamp : undefined;
  if (typeof timestamp !== 'number' || !Number.isFinite(timestamp)) return { ok: false, reason: 'malformed' };
  return Math.abs(now.getTime() - timestamp) > maxSkewMs ? { ok: false, reason: 'stale' } : { ok: true };
}

/** Linear's webhook door. A retry carries the same `Linear-Delivery`, and a fresh timestamp in the body. */
export const webhook: WebhookRules = {
  maxBodyBytes: 5 * 1024 * 1024,
  keptHeaders: ['linear-delivery', 'linear-event'],
  verify,
  deliveryId: (request) => request.headers['linear-delivery'] || undefined,
};

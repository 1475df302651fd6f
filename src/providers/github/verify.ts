import type { Verdict, WebhookRequest, WebhookRules } from '../provider.ts';
import { isJsonObject, isSignedByOne, webhookJson } from '../webhook-body.ts';

/**
 * GitHub's signing: HMAC-SHA256 of the body. There is no timestamp and no header is signed, so a captured body is known
 * by its hash only. https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
 */
function verify(request: WebhookRequest, secrets: readonly string[], _now: Date): Verdict {
  const signature = request.headers['x-hub-signature-256'];
  if (!signature) return { ok: false, reason: 'unsigned' };
  if (!isSignedByOne(secrets, 'sha256=', signature, [request.body])) {
    return { ok: false, reason: 'wrong_signature' };
  }
  const isWhole = Boolean(request.headers['x-github-event']) && isJsonObject(webhookJson(request));
  return isWhole ? { ok: true } : { ok: false, reason: 'malformed' };
}

/** GitHub's webhook door. A redelivery carries the same `X-GitHub-Delivery`; bodies end at 25 MB. */
export const webhook: WebhookRules = {
  maxBodyBytes: 25 * 1024 * 1024,
  keptHeaders: ['content-type', 'x-github-event', 'x-github-delivery'],
  verify,
  deliveryId: (request) => request.headers['x-github-delivery'] || undefined,
};

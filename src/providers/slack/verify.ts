import type { Verdict, WebhookRequest, WebhookRules } from '../provider.ts';
import { isJsonObject, isSignedByOne, webhookJson } from '../webhook-body.ts';

const maxSkewSeconds = 300;

/**
 * Slack's signing, v0: HMAC-SHA256 of `v0:<timestamp>:<body>`. The timestamp is signed and may lie 300 s on either
 * side of our clock. https://docs.slack.dev/authentication/verifying-requests-from-slack
 */
function verify(request: WebhookRequest, secrets: readonly string[], now: Date): Verdict {
  const signature = request.headers['x-slack-signature'];
  const timestamp = request.headers['x-slack-request-timestamp'];
  if (!signature || !timestamp) return { ok: false, reason: 'unsigned' };
  if (!isSignedByOne(secrets, 'v0=', signature, [`v0:${timestamp}:`, request.body])) {
    return { ok: false, reason: 'wrong_signature' };
  }
  if (!/^\d{1,12}$/.test(timestamp)) return { ok: false, reason: 'malformed' };
  if (Math.abs(now.getTime() / 1000 - Number(timestamp)) > maxSkewSeconds)
    return { ok: false, reason: 'stale' };
  return isJsonObject(webhookJson(request)) ? { ok: true } : { ok: false, reason: 'malformed' };
}

function field(request: WebhookRequest, name: string): string | undefined {
  const body = webhookJson(request);
  const value = isJsonObject(body) ? body[name] : undefined;
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Slack's webhook door. A retry carries the same `event_id`; what has none (interactivity) is known by its bytes. */
export const webhook: WebhookRules = {
  maxBodyBytes: 4 * 1024 * 1024,
  keptHeaders: ['content-type', 'x-slack-retry-num', 'x-slack-retry-reason'],
  verify,
  deliveryId: (request) => field(request, 'event_id'),
  immediateAnswer(request) {
    if (field(request, 'type') !== 'url_verification') return undefined;
    const challenge = field(request, 'challenge');
    // It is sent back as it came: nothing but a token, so that no page can be made of it.
    if (!challenge || !/^[\w.~+/=-]{1,200}$/.test(challenge)) return undefined;
    return { contentType: 'text/plain', body: challenge };
  },
};

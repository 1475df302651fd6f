import { createHmac } from 'node:crypto';
import type { DeliveryPolicy } from '../deliveries.ts';

/** GitHub's App webhooks: any 2xx within 10 s, and no automatic retry. */
export function githubDeliveryPolicy(appId: number, webhookSecret: string): DeliveryPolicy {
  return {
    timeoutMs: 10_000,
    retryDelaysMs: [],
    accepts: (status) => status >= 200 && status < 300,
    request(delivery) {
      const body = JSON.stringify(delivery.payload);
      const sign = (algorithm: string) =>
        `${algorithm}=${createHmac(algorithm, webhookSecret).update(body).digest('hex')}`;
      return {
        body,
        headers: {
          'content-type': 'application/json',
          'user-agent': 'GitHub-Hookshot/workplace',
          'x-github-event': delivery.event,
          'x-github-delivery': delivery.id,
          'x-github-hook-id': String(appId),
          'x-github-hook-installation-target-type': 'integration',
          'x-github-hook-installation-target-id': String(appId),
          'x-hub-signature-256': sign('sha256'),
          'x-hub-signature': sign('sha1'),
        },
      };
    },
  };
}

type Payload = Record<string, unknown>;

/**
 * The payloads that GitHub sends where the emulator tells of one event: what every App delivery carries is added, a label
 * is told whole, and an issue that was opened with labels is followed by one `labeled` for each of them.
 */
export function appPayloads(event: string, payload: Payload, added: Payload): Payload[] {
  const whole: Payload = { ...payload, ...added };
  const issue = payload.issue as { labels?: { name: string }[] } | undefined;
  const labels = issue?.labels ?? [];
  if (event !== 'issues') return [whole];
  if (payload.action === 'opened') {
    return [whole, ...labels.map((label) => ({ ...whole, action: 'labeled', label }))];
  }
  const named = payload.label as { name?: string } | null | undefined;
  const label = labels.find(({ name }) => name === named?.name);
  return [label ? { ...whole, label } : whole];
}

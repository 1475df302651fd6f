import { createHmac } from 'node:crypto';
import type { Delivery, WebhookRequest } from '../../../src/providers/provider.ts';

export const secret = 'a-signing-secret-of-the-test';
export const now = new Date('2026-11-20T12:00:00Z');

export const hmac = (key: string, ...parts: (string | Buffer)[]): string => {
  const mac = createHmac('sha256', key);
  for (const part of parts) mac.update(part);
  return mac.digest('hex');
};

export const bytes = (body: unknown): Buffer =>
  Buffer.isBuffer(body) ? body : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body));

export function signedSlack(body: unknown, options: { at?: Date; key?: string } = {}): WebhookRequest {
  const raw = bytes(body);
  const timestamp = String(Math.floor((options.at ?? now).getTime() / 1000));
  return {
    headers: {
      'content-type': 'application/json',
      'x-slack-request-timestamp': timestamp,
      'x-slack-signature': `v0=${hmac(options.key ?? secret, `v0:${timestamp}:`, raw)}`,
    },
    body: raw,
  };
}

export function signedGithub(event: string, body: unknown, options: { key?: string } = {}): WebhookRequest {
  const raw = bytes(body);
  return {
    headers: {
      'content-type': 'application/json',
      'x-github-event': event,
      'x-github-delivery': '72d3162e-cc78-11e3-81ab-4c9367dc0958',
      'x-hub-signature-256': `sha256=${hmac(options.key ?? secret, raw)}`,
    },
    body: raw,
  };
}

export function signedLinear(
  body: Record<string, unknown>,
  options: { at?: Date; key?: string; raw?: Buffer } = {},
): WebhookRequest {
  const stamped = { webhookTimestamp: (options.at ?? now).getTime(), webhookId: 'hook', ...body };
  const raw = options.raw ?? bytes(stamped);
  return {
    headers: {
      'content-type': 'application/json; charset=utf-8',
      'linear-delivery': '234d1a4e-b617-4388-90fe-adc3633d6b72',
      'linear-event': String(body.type),
      'linear-signature': hmac(options.key ?? secret, raw),
    },
    body: raw,
  };
}

export const delivered = (request: WebhookRequest): Delivery => ({ ...request, receivedAt: now });

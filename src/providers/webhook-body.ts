import { createHmac, timingSafeEqual } from 'node:crypto';
import type { WebhookRequest } from './provider.ts';

/** What a body parsed to. `undefined` in `value` stands for bytes that are neither JSON nor a form with a JSON `payload`. */
interface ParsedBody {
  value: unknown;
}

// The gateway asks several rules about one request; the body is parsed once.
const parsedBodies = new WeakMap<Buffer, ParsedBody>();

/**
 * The JSON of a webhook: the body itself, or the `payload` field of a form (both providers that send forms put it
 * there). A form without `payload` comes back as its fields. Undefined when it cannot be parsed; never throws.
 */
export function webhookJson(request: WebhookRequest): unknown {
  const known = parsedBodies.get(request.body);
  if (known) return known.value;
  const value = parse(request);
  parsedBodies.set(request.body, { value });
  return value;
}

function parse(request: WebhookRequest): unknown {
  const text = request.body.toString('utf8');
  if (!request.headers['content-type']?.toLowerCase().startsWith('application/x-www-form-urlencoded')) {
    return parseJson(text);
  }
  const form = new URLSearchParams(text);
  const payload = form.get('payload');
  return payload === null ? Object.fromEntries(form) : parseJson(payload);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Whether parsed JSON is an object, the only shape that a webhook of ours has. */
export function isJsonObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Compares a signature with the HMAC-SHA256 of `parts` under each secret, in constant time and without stopping at
 * the first that fits. `given` must be exactly `prefix` and 64 lower-case hex digits.
 */
export function isSignedByOne(
  secrets: readonly string[],
  prefix: string,
  given: string,
  parts: readonly (string | Buffer)[],
): boolean {
  const signature = Buffer.from(given, 'utf8');
  let matches = false;
  // An unknown publication has no secret, and costs as much as a known one.
  for (const secret of secrets.length > 0 ? secrets : ['']) {
    const hmac = createHmac('sha256', secret);
    for (const part of parts) hmac.update(part);
    const expected = Buffer.from(prefix + hmac.digest('hex'), 'utf8');
    const same = signature.length === expected.length && timingSafeEqual(signature, expected);
    matches = (same && secret !== '') || matches;
  }
  return matches;
}

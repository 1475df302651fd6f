import { z } from 'zod';
import { ProviderError } from './provider.ts';
import type { AppField, FlowContext } from './publish-flow.ts';

/** A field that somebody types; secret unless it is said otherwise. */
export function formField(name: string, label: string, hint: string, secret = true): AppField {
  return { name, label, hint, secret };
}

/** A secret of one line without spaces. `where` says where it is found. */
export function typedSecret(name: string, where: string) {
  return z
    .string({ error: `${name} is missing: it is ${where}` })
    .trim()
    .min(8, `${name} is too short: copy it whole; it is ${where}`)
    .max(500, `${name} is too long to be one`)
    .regex(/^[\x21-\x7e]+$/, `${name} must not contain spaces or control characters`);
}

/** When a token ends, from the seconds that its answer names; nothing where it names none. */
export function expiryDetail(
  context: FlowContext,
  expiresInSeconds: number | undefined,
): Record<string, string> {
  if (expiresInSeconds === undefined) return {};
  return { expires_at: new Date(context.clock().getTime() + expiresInSeconds * 1000).toISOString() };
}

const oauthError = z.looseObject({ error: z.string().optional(), error_description: z.string().optional() });

/** Posts a form and reads the JSON that comes. Throws a ProviderError in the provider's words. */
export async function postForm<Schema extends z.ZodType>(
  context: FlowContext,
  url: string,
  schema: Schema,
  fields: Record<string, string>,
): Promise<z.output<Schema>> {
  const { hostname } = new URL(url);
  const response = await context.fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
    body: new URLSearchParams(fields).toString(),
  });
  const text = await response.text();
  let body: unknown;
  try {
    body = text === '' ? {} : JSON.parse(text);
  } catch {
    throw new ProviderError(
      'unavailable',
      `${hostname} answered ${response.status} with something that is not JSON.`,
    );
  }
  if (!response.ok) {
    const said = oauthError.safeParse(body).data;
    const words = said?.error_description ?? said?.error ?? 'no reason given';
    throw new ProviderError(
      response.status >= 500 ? 'unavailable' : 'refused',
      `${hostname} answered ${response.status}: ${words.replace(/\.$/, '')}.`,
    );
  }
  const parsed = schema.safeParse(body);
  if (parsed.success) return parsed.data;
  throw new ProviderError('unavailable', `${hostname} answered something else than was expected.`);
}

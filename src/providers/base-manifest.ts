import { readFileSync } from 'node:fs';
import type { z } from 'zod';
import type { ProviderName } from '../store/schema.ts';

/** The file of `manifests/` that every publication's manifest begins with. Throws where it is not what its schema says. */
export function baseManifest<Schema extends z.ZodType>(
  provider: ProviderName,
  schema: Schema,
): z.output<Schema> {
  const file = new URL(`../../manifests/${provider}.json`, import.meta.url);
  return schema.parse(JSON.parse(readFileSync(file, 'utf8')));
}

/** A text cut to what a field takes, at a whole character. */
export function cut(text: string, maxChars: number): string {
  const clean = text.replace(/\s+/g, ' ').trim();
  if (clean.length <= maxChars) return clean;
  const kept = clean.slice(0, maxChars - 1);
  return `${/[\ud800-\udbff]$/.test(kept) ? kept.slice(0, -1) : kept}…`;
}

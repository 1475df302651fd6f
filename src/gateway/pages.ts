import { hash } from 'node:crypto';
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';

const style = `:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:15vh auto;padding:0 1.5rem}h1{font-size:1.4rem}code{font:0.9em ui-monospace,monospace;padding:.1em .3em;border:1px solid;border-radius:4px}`;

/** Pages run nothing that is not ours, are shown in no frame, and tell nobody their address (it may hold a token). */
export const securityHeaders: Readonly<Record<string, string>> = {
  'content-security-policy': [
    "default-src 'self'",
    `style-src 'self' 'sha256-${hash('sha256', style, 'base64')}'`,
    "img-src 'self' data:",
    "object-src 'none'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
  ].join('; '),
  'x-frame-options': 'DENY',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
};

const escapes: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
const escapeHtml = (text: string) => text.replace(/[&<>"']/g, (character) => escapes[character] ?? '');
/** Backticks become code, as in the texts below. */
const toHtml = (text: string) => escapeHtml(text).replace(/`([^`]+)`/g, '<code>$1</code>');

export interface PageText {
  title: string;
  paragraphs: readonly string[];
}

/** A small page of its own, for when the console cannot be shown. `refreshTo` leads on at once. */
export function answerPage(
  c: Context,
  status: ContentfulStatusCode,
  { title, paragraphs }: PageText,
  refreshTo?: string,
): Response {
  const refresh =
    refreshTo === undefined ? '' : `<meta http-equiv="refresh" content="0;url=${escapeHtml(refreshTo)}">`;
  return c.html(
    `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>${escapeHtml(title)} · Tagalong</title>${refresh}<style>${style}</style></head><body><h1>${escapeHtml(title)}</h1>${paragraphs.map((text) => `<p>${toHtml(text)}</p>`).join('')}</body></html>`,
    status,
  );
}

const howToGetALink =
  'Start Tagalong with `npm start`: it prints a link that opens the console once. While it runs, `npx tagalong link` prints a new one.';

export const pageTexts = {
  signIn: { title: 'This is a Tagalong server', paragraphs: ['You are not signed in here.', howToGetALink] },
  linkUsed: {
    title: 'This link no longer works',
    paragraphs: ['Each link opens the console once, within 24 hours.', howToGetALink],
  },
  opening: { title: 'Opening the console', paragraphs: ['One moment.'] },
  notBuilt: {
    title: 'The console is not built',
    paragraphs: [
      'The server runs, but the files of its console are missing. `npm start` builds them. Everything else works.',
    ],
  },
  notFound: { title: 'There is nothing here', paragraphs: ['The console starts at `/`.'] },
} satisfies Record<string, PageText>;

import { hash } from 'node:crypto';
import type { Context } from 'hono';
import { html, raw } from 'hono/html';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { securityHeaders } from '../pages.ts';

type Html = ReturnType<typeof html>;

const style = `
:root{color-scheme:light dark;--ground:light-dark(#f4f2ee,#131517);--surface:light-dark(#fff,#1b1e21);--soft:light-dark(#f8f7f4,#22262a);--line:light-dark(#e5e1d9,#2e3338);--line-strong:light-dark(#8f897d,#6f767d);--text:light-dark(#1e1c19,#e9e7e3);--muted:light-dark(#5f594f,#a3a9ae);--accent:light-dark(#0b6e63,#58cfbe);--accent-strong:light-dark(#085a51,#7be0d1);--on-accent:light-dark(#fff,#06231f);--good:light-dark(#1d6b2f,#84d996);--attention:light-dark(#7a4d00,#f2c063);--attention-soft:light-dark(#fdf1d8,#372b13);--bad:light-dark(#a8281b,#ff9c8f);--bad-soft:light-dark(#fdecea,#3b201d)}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:640px;margin:0 auto;padding:48px 20px 64px}
.brand{margin:0 0 28px;font-size:15px;font-weight:700;letter-spacing:.01em;color:var(--accent)}
h1{margin:0 0 12px;font-size:26px;line-height:1.25;overflow-wrap:anywhere}
h2{margin:0 0 8px;font-size:17px;line-height:1.35}
p{margin:0 0 12px}.muted{color:var(--muted)}.small{font-size:14px}
code{font:0.9em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
section{margin:20px 0 0;padding:20px;border:1px solid var(--line);border-radius:12px;background:var(--surface)}
section>:last-child{margin-bottom:0}section+form{margin-top:18px}form+p{margin-top:12px}
ul{margin:0 0 12px;padding:0;list-style:none}li{padding:3px 0 3px 26px;position:relative}
li::before{content:"";position:absolute;left:6px;top:13px;width:6px;height:6px;border-radius:50%;background:var(--accent)}
li.ask::before{background:none;border:2px solid var(--attention);left:5px;top:11px;width:8px;height:8px}
li.done::before{content:"✓";background:none;left:2px;top:3px;width:auto;height:auto;color:var(--good);font-weight:700}
li.open::before{background:none;border:2px solid var(--line-strong);left:4px;top:9px;width:12px;height:12px}
.button{display:inline-block;padding:10px 18px;border:1px solid transparent;border-radius:8px;background:var(--accent);color:var(--on-accent);font:inherit;font-weight:600;text-decoration:none;cursor:pointer}
.button:hover{background:var(--accent-strong)}
.quiet{background:var(--surface);border-color:var(--line-strong);color:var(--text)}.quiet:hover{background:var(--soft)}
label{display:block;margin:0 0 4px;font-weight:600;font-size:15px}
input{display:block;width:100%;margin:0 0 4px;padding:9px 11px;border:1px solid var(--line-strong);border-radius:8px;background:var(--surface);color:inherit;font:inherit}
.hint{margin:0 0 14px;font-size:14px;color:var(--muted)}
.note{padding:10px 14px;border-radius:8px;background:var(--attention-soft);color:var(--attention);font-size:15px}
.bad{background:var(--bad-soft);color:var(--bad)}
.actions{display:flex;flex-wrap:wrap;gap:10px;margin-top:16px}
a{color:var(--accent)}a.button{color:var(--on-accent)}a.quiet{color:var(--text)}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
@media(max-width:640px){main{padding-top:28px}h1{font-size:23px}}
`;

/** The same for pages whose form goes to a provider: no other origin than that one gets it. */
function headersFor(formOrigins: readonly string[]): Record<string, string> {
  const policy = [
    "default-src 'none'",
    `style-src 'sha256-${hash('sha256', style, 'base64')}'`,
    'img-src data:',
    "base-uri 'none'",
    `form-action 'self'${formOrigins.map((origin) => ` ${origin}`).join('')}`,
    "frame-ancestors 'none'",
  ];
  return {
    ...securityHeaders,
    'content-security-policy': policy.join('; '),
    'cache-control': 'no-store',
    // Without it a browser hides from us that our own form was sent from our own page.
    'referrer-policy': 'same-origin',
    // A provider's page may be opened from here; it shall not be cut off from what opened it.
    'cross-origin-opener-policy': 'unsafe-none',
  };
}

export interface FlowPage {
  title: string;
  body: Html | Promise<Html>;
  /** Origins beside our own that the page's form may go to. */
  formOrigins?: readonly string[];
  status?: ContentfulStatusCode;
}

/** A page of the flow: without scripts, readable by anybody. */
export async function answerFlowPage(c: Context, page: FlowPage): Promise<Response> {
  for (const [name, value] of Object.entries(headersFor(page.formOrigins ?? []))) c.header(name, value);
  const document = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">
<title>${page.title} · Tagalong</title><style>${raw(style)}</style></head>
<body><main><p class="brand">Tagalong</p><h1>${page.title}</h1>${await page.body}</main></body></html>`;
  return c.html(document, page.status ?? 200);
}

/** Paragraphs; backticks become code. */
export function paragraphs(texts: readonly string[]): Html {
  const parts = texts.map((text) => {
    const pieces = text.split(/`([^`]+)`/);
    return html`<p>${pieces.map((piece, i) => (i % 2 === 1 ? html`<code>${piece}</code>` : piece))}</p>`;
  });
  return html`${parts}`;
}

import type { Context } from 'hono';
import { html, raw } from 'hono/html';
import type { ContentfulStatusCode } from 'hono/utils/http-status';

export type Html = ReturnType<typeof html>;

const style = `
:root{color-scheme:light dark}
*{box-sizing:border-box}
body{margin:0;background:light-dark(#f6f6f6,#17181a);color:light-dark(#1c1c1c,#ececec);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
header{padding:12px 20px;background:var(--brand);color:#fff;font-weight:700}
header span{margin-left:8px;font-weight:400;opacity:.85;font-size:14px}
main{max-width:680px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:23px;line-height:1.3;margin:0 0 12px;overflow-wrap:anywhere}h2{font-size:16px;margin:22px 0 6px}
ul{margin:0;padding-left:22px}dt{font-weight:600;margin-top:10px}dd{margin:0}
code,pre{font:14px ui-monospace,Menlo,Consolas,monospace;overflow-wrap:anywhere;white-space:pre-wrap}
.bad{padding:10px 14px;border-radius:6px;background:light-dark(#fdecea,#3b201d);color:light-dark(#a8281b,#ff9c8f)}
.actions{display:flex;gap:10px;flex-wrap:wrap;margin-top:22px}
button{padding:9px 18px;border:1px solid transparent;border-radius:6px;background:var(--brand);color:#fff;font:inherit;font-weight:600;cursor:pointer}
button.quiet{background:none;border-color:currentcolor;color:inherit}
label{display:block;font-weight:600;margin:14px 0 4px}
input,select,textarea{font:inherit;color:inherit;padding:8px 10px;width:100%;border:1px solid light-dark(#999,#666);border-radius:6px;background:light-dark(#fff,#222)}
`;

const brands = { Slack: '#4a154b', GitHub: '#24292f', Linear: '#4550a8' } as const;

/** A page of an emulated vendor: plain, and marked as what it is. */
export async function vendorPage(
  c: Context,
  vendor: keyof typeof brands,
  title: string,
  body: Html | Promise<Html>,
  status: ContentfulStatusCode = 200,
): Promise<Response> {
  c.header('cache-control', 'no-store');
  return c.html(
    html`<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,"><title>${title} · ${vendor} (emulated)</title><style>${raw(`:root{--brand:${brands[vendor]}}${style}`)}</style></head><body><header>${vendor}<span>emulated on this machine</span></header><main><h1>${title}</h1>${await body}</main></body></html>`,
    status,
  );
}

/** What is wrong, in the vendor's place. */
export function vendorError(
  c: Context,
  vendor: keyof typeof brands,
  title: string,
  problems: readonly string[],
  status: ContentfulStatusCode = 400,
): Promise<Response> {
  return vendorPage(
    c,
    vendor,
    title,
    html`<div class="bad">${problems.map((problem) => html`<p>${problem}</p>`)}</div>`,
    status,
  );
}

/** The fields of a posted form, texts only. */
export async function formOf(c: Context): Promise<Record<string, string>> {
  return Object.fromEntries(new URLSearchParams(await c.req.text()));
}

/** The address with parameters added, those that are undefined left out. */
export function withParameters(address: string, parameters: Record<string, string | undefined>): string {
  const url = new URL(address);
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== '') url.searchParams.set(name, value);
  }
  return url.href;
}

/** Whether an address is on this machine: the workplace talks to nothing else. */
export function isLoopback(address: string): boolean {
  return URL.canParse(address) && ['127.0.0.1', '[::1]', 'localhost'].includes(new URL(address).hostname);
}

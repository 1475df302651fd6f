import type { Context, Hono } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';
import { html } from 'hono/html';
import { providerTitles } from '../../store/provider-titles.ts';
import type { GatewayEnv } from '../authentication.ts';
import { ApiError } from '../errors.ts';
import { isOwnOrigin } from '../host-check.ts';
import { giveCredentials } from './create.ts';
import type { FlowDeps } from './deps.ts';
import { findHandoffSession, handoffCookie, openHandoff } from './handoff.ts';
import { type Loaded, loadPublication } from './input.ts';
import { answerFlowPage, paragraphs } from './page.ts';
import { startLink } from './steps.ts';
import { faultText } from './texts.ts';
import { findPublishToken, type PublishToken } from './tokens.ts';
import { capabilityViews, nextStep } from './view.ts';

/** The pages for somebody without an account, who does just one publication's steps. */
export function handoffDoors(
  app: Hono<GatewayEnv>,
  deps: FlowDeps,
  onChanged: (publicationId: string) => void,
): void {
  // Looked at without being used up: programs that preview links in a chat open it too.
  app.get('/handoff/:token', async (c) => {
    const found = await findPublishToken(deps, 'handoff', c.req.param('token'));
    if (!found.ok) {
      const session = await findHandoffSession(deps, getCookie(c, handoffCookie));
      return session.ok ? c.redirect('/handoff', 303) : refused(c, 'handoff', found.fault);
    }
    const loaded = await loadPublication(deps, found.token.organizationId, found.token.publicationId);
    const title = providerTitles[loaded.publication.provider];
    return answerFlowPage(c, {
      title: `Set up ${loaded.input.name} in ${title}`,
      body: html`<p>Somebody who runs an AI agent called <strong>${loaded.input.name}</strong> asks you to install it in
${title}, since that needs your rights there. You need no account here.</p>
${permissionSection(loaded)}
<form method="post"><p class="muted small">This link works once: with the next click it belongs to this browser, until
${dateWords(found.token.expiresAt)}.</p>
<div class="actions"><button class="button" type="submit">Show me the steps</button></div></form>`,
    });
  });

  app.post('/handoff/:token{.+\\..+}', async (c) => {
    requireOwnOrigin(c);
    const opened = await openHandoff(deps, c.req.param('token'));
    if (!opened.ok) return refused(c, 'handoff', opened.fault);
    setCookie(c, handoffCookie, opened.cookie, {
      path: '/',
      httpOnly: true,
      sameSite: 'Lax',
      secure: new URL(deps.config.baseUrl).protocol === 'https:',
      maxAge: Math.max(1, Math.floor((opened.expiresAt.getTime() - deps.clock().getTime()) / 1000)),
    });
    return c.redirect('/handoff', 303);
  });

  app.get('/handoff', async (c) => {
    const session = await findHandoffSession(deps, getCookie(c, handoffCookie));
    return session.ok ? stepsPage(c, deps, session.token) : refused(c, 'handoff_session', session.fault);
  });

  app.post('/handoff/credentials', async (c) => {
    requireOwnOrigin(c);
    const session = await findHandoffSession(deps, getCookie(c, handoffCookie));
    if (!session.ok) return refused(c, 'handoff_session', session.fault);
    const { organizationId, publicationId } = session.token;
    const { publication } = await loadPublication(deps, organizationId, publicationId);
    const form = await c.req.parseBody();
    const fields = deps.adapters[publication.provider].publishFlow.appFields;
    const given = Object.fromEntries(fields.map(({ name }) => [name, form[name] ?? '']));
    try {
      await giveCredentials(deps, publication, given);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      return stepsPage(c, deps, session.token, error.message);
    }
    onChanged(publicationId);
    return c.redirect('/handoff', 303);
  });
}

function requireOwnOrigin(c: Context): void {
  const own = isOwnOrigin({
    method: c.req.method,
    host: c.req.header('host'),
    origin: c.req.header('origin'),
    secFetchSite: c.req.header('sec-fetch-site'),
  });
  if (!own) throw new ApiError('permission_error', 'This form was not sent from a page of this server.');
}

function refused(c: Context, ...fault: Parameters<typeof faultText>): Promise<Response> {
  const { title, paragraphs: texts } = faultText(...fault);
  return answerFlowPage(c, { title, body: paragraphs(texts), status: 400 });
}

function dateWords(date: Date): string {
  return `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

function permissionSection(loaded: Loaded) {
  const all = capabilityViews(loaded);
  const on = all.filter(({ grant }) => grant === 'on');
  const ask = all.filter(({ grant }) => grant === 'ask');
  return html`<section><h2>What it may do</h2>
<ul>${on.map(({ words }) => html`<li>${words}</li>`)}</ul>
${
  ask.length === 0
    ? ''
    : html`<h2>Only after a person has approved it</h2><ul>${ask.map(({ words }) => html`<li class="ask">${words}</li>`)}</ul>`
}
<p class="muted small">Nothing else. It never sees a password or a token, and you can remove it at any time in
${providerTitles[loaded.publication.provider]}.</p></section>`;
}

async function stepsPage(
  c: Context,
  deps: FlowDeps,
  token: PublishToken,
  problem?: string,
): Promise<Response> {
  const { organizationId, publicationId: id, expiresAt } = token;
  const loaded = await loadPublication(deps, organizationId, id);
  const { publication, input, workspace } = loaded;
  const title = providerTitles[publication.provider];
  const next = nextStep(publication.state);
  const fields = deps.adapters[publication.provider].publishFlow.appFields;
  const link = async (step: 'create' | 'install') =>
    (await startLink(deps, { organizationId, id }, step, expiresAt)).url;
  const create =
    next === 'create'
      ? html`<section><h2>1. Make the app</h2>
<p>${title} opens with everything filled in. Confirm it there${fields.length > 0 ? ', and come back with three values' : ''}.</p>
<div class="actions"><a class="button" href="${await link('create')}"${fields.length > 0 ? html` target="_blank" rel="noopener"` : ''}>Make it in ${title}</a></div></section>`
      : '';
  const credentials =
    next === 'create' && fields.length > 0
      ? html`<section><h2>2. Bring three values back</h2>
${problem ? html`<p class="note bad" role="alert">${problem}</p>` : ''}
<form method="post" action="/handoff/credentials" autocomplete="off">
${fields.map(
  ({ name, label, hint, secret }) => html`<label for="${name}">${label}</label>
<input id="${name}" name="${name}" type="${secret ? 'password' : 'text'}" required autocomplete="off" spellcheck="false"><p class="hint">${hint}</p>`,
)}
<button class="button" type="submit">Store them</button></form>
<p class="muted small">They are sealed at once; nobody can read them here again.</p></section>`
      : '';
  const install =
    next === 'install'
      ? html`<section><h2>Install it</h2>
${publication.stateReason ? html`<p class="note">${publication.stateReason}</p>` : ''}
<p>The app exists. ${title} asks you to confirm what it may do, and sends you back here.</p>
<div class="actions"><a class="button" href="${await link('install')}">Install it in ${title}</a></div></section>`
      : '';
  const done =
    next === 'done'
      ? html`<section><h2>Everything is done</h2><p>${input.name} is installed in ${workspace ?? title}. You can close this page.</p></section>`
      : '';
  return answerFlowPage(c, {
    title: next === 'done' ? `${input.name} is ready` : `Set up ${input.name} in ${title}`,
    status: problem ? 400 : 200,
    body: html`${create}${credentials}${install}${done}${permissionSection(loaded)}`,
  });
}

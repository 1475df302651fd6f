import type { Context, Hono } from 'hono';
import { getCookie, setCookie } from 'hono/cookie';
import { html } from 'hono/html';
import { bareReturnPath } from '../../providers/pages.ts';
import { ProviderError } from '../../providers/provider.ts';
import type { CreateRequest } from '../../providers/publish-flow.ts';
import { providerTitles } from '../../store/provider-titles.ts';
import type { ProviderName } from '../../store/schema.ts';
import { keepNewest } from '../../vault/keep-newest.ts';
import type { GatewayEnv } from '../authentication.ts';
import { ApiError } from '../errors.ts';
import { confirmPublication } from './confirm.ts';
import type { FlowDeps, PublicationRow } from './deps.ts';
import { findHandoffSession, handoffCookie, newBrowser } from './handoff.ts';
import { loadPublication } from './input.ts';
import { answerFlowPage, paragraphs } from './page.ts';
import { beginStep, finishCreate, finishInstall, startLink } from './steps.ts';
import { faultText } from './texts.ts';
import { type PublishToken, redeemPublishToken } from './tokens.ts';

const browserCookie = 'tagalong_browser';
const browserLifetimeMs = 30 * 24 * 3_600_000;
/** How often a bare redirect of GitHub's, which proves nothing, makes us ask GitHub about one publication. */
const bareConfirmEveryMs = 10_000;

/**
 * The doors that browsers come to on their way through a provider's pages: the start of a step, and the ways back. They
 * take no key: a start is a link of ours that works once, a way back is bound to the browser that started.
 */
export function publishDoors(
  app: Hono<GatewayEnv>,
  deps: FlowDeps,
  onChanged: (publicationId: string) => void,
): void {
  const lastBare = new Map<string, number>();

  app.on(['GET', 'HEAD'], '/publish/start/:token', async (c) => {
    // A program that only looks whether the link is alive must not use it up.
    if (c.req.method !== 'GET') return c.body(null, 204);
    const started = await redeemPublishToken(deps, 'start', c.req.param('token'));
    if (!started.ok) return refused(c, 'start', started.fault);
    try {
      return await send(c, started.token, await beginStep(deps, started.token, browserOf(c, deps)));
    } catch (error) {
      return failed(c, deps, started.token, error);
    }
  });

  const providers = Object.keys(providerTitles).join('|');
  app.on(['GET', 'HEAD'], `/oauth/:provider{${providers}}/callback`, async (c) => {
    if (c.req.method !== 'GET') return c.body(null, 204);
    const provider = c.req.param('provider') as ProviderName;
    const { code, state, error } = c.req.query();
    const found = await redeemPublishToken(deps, 'state', state, getCookie(c, browserCookie));
    if (!found.ok) return refused(c, 'state', found.fault);
    const { token } = found;
    try {
      const { publication } = await loadPublication(deps, token.organizationId, token.publicationId);
      if (publication.provider !== provider) return refused(c, 'state', 'unknown');
      if (error) return await declined(c, deps, token, error);
      if (!code) throw new ProviderError('refused', `${providerTitles[provider]} sent no code.`);
      if (token.step === 'create') {
        await finishCreate(deps, token, code);
        onChanged(token.publicationId);
        return await created(c, deps, token);
      }
      const settled = await finishInstall(deps, token, state ?? '', { code });
      onChanged(token.publicationId);
      return await installed(c, deps, settled);
    } catch (thrown) {
      return failed(c, deps, token, thrown);
    }
  });

  app.on(['GET', 'HEAD'], bareReturnPath, async (c) => {
    if (c.req.method !== 'GET') return c.body(null, 204);
    const { state, installation_id: given, setup_action: action, publication } = c.req.query();
    const installationId = /^[1-9]\d{0,19}$/.test(given ?? '') ? given : undefined;
    if (action === 'request') return requested(c);
    if (state === undefined) return bare(c, deps, publication, lastBare);
    const found = await redeemPublishToken(deps, 'state', state, getCookie(c, browserCookie));
    if (!found.ok) return refused(c, 'state', found.fault);
    try {
      const settled = await finishInstall(deps, found.token, state, {
        ...(installationId ? { installationId } : {}),
      });
      onChanged(settled.id);
      return await installed(c, deps, settled);
    } catch (thrown) {
      return failed(c, deps, found.token, thrown);
    }
  });
}

/** The browser's own cookie: made at its first step, and what it starts is bound to it. */
function browserOf(c: Context, deps: FlowDeps): string {
  const known = getCookie(c, browserCookie);
  const browser = known && /^[\w-]{43}$/.test(known) ? known : newBrowser();
  setCookie(c, browserCookie, browser, {
    path: '/',
    httpOnly: true,
    // Lax: the way back is a navigation that begins at the provider.
    sameSite: 'Lax',
    secure: new URL(deps.config.baseUrl).protocol === 'https:',
    maxAge: browserLifetimeMs / 1000,
  });
  return browser;
}

async function send(c: Context, token: PublishToken, to: CreateRequest): Promise<Response> {
  if (to.method === 'get') return c.redirect(to.url, 303);
  const { origin, host } = new URL(to.url);
  return answerFlowPage(c, {
    title: `One click to ${host}`,
    formOrigins: [origin],
    body: html`<p>The app is made from what this page sends along. There you can still change its name; nothing is
made before you confirm it.</p>
<form method="post" action="${to.url}">
${Object.entries(to.fields).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}">`)}
<div class="actions"><button class="button" type="submit" data-step="${token.step ?? ''}">Go on to ${host}</button></div></form>`,
  });
}

function refused(c: Context, ...fault: Parameters<typeof faultText>): Promise<Response> {
  const { title, paragraphs: texts } = faultText(...fault);
  return answerFlowPage(c, { title, body: paragraphs(texts), status: 400 });
}

/** Where this browser goes on: the handoff's page, or the console. */
async function back(
  c: Context,
  deps: FlowDeps,
  publicationId: string,
): Promise<{ href: string; words: string }> {
  const session = await findHandoffSession(deps, getCookie(c, handoffCookie));
  return session.ok && session.token.publicationId === publicationId
    ? { href: '/handoff', words: 'Back to the steps' }
    : { href: `/publications/${publicationId}`, words: 'Open it in the console' };
}

async function declined(c: Context, deps: FlowDeps, token: PublishToken, error: string): Promise<Response> {
  const words =
    error === 'access_denied' ? 'The installation was declined.' : 'The provider sent an error back.';
  const to = await back(c, deps, token.publicationId);
  return answerFlowPage(c, {
    title: 'Nothing was installed',
    body: html`<p>${words} You can start the step again whenever you like.</p>
<div class="actions"><a class="button" href="${to.href}">${to.words}</a></div>`,
  });
}

async function created(c: Context, deps: FlowDeps, token: PublishToken): Promise<Response> {
  const { organizationId, publicationId } = token;
  const { input, publication } = await loadPublication(deps, organizationId, publicationId);
  const { url } = await startLink(deps, { organizationId, id: publicationId }, 'install');
  const to = await back(c, deps, publicationId);
  return answerFlowPage(c, {
    title: `${input.name} exists at ${providerTitles[publication.provider]}`,
    body: html`<p>Its key and its secrets came back and are stored sealed. One step is left: install it on the account whose
repositories it shall work in.</p>
<div class="actions"><a class="button" href="${url}">Install it</a><a class="button quiet" href="${to.href}">${to.words}</a></div>`,
  });
}

async function installed(c: Context, deps: FlowDeps, row: PublicationRow): Promise<Response> {
  const { input, workspace } = await loadPublication(deps, row.organizationId, row.id);
  const to = await back(c, deps, row.id);
  const links = html`<div class="actions"><a class="button" href="${to.href}">${to.words}</a></div>`;
  if (row.state !== 'live') {
    return answerFlowPage(c, {
      title: 'Not confirmed yet',
      status: 400,
      body: html`<p>The provider sent you back, but did not confirm the installation.</p>
<p class="note">${row.stateReason ?? 'It gave no reason.'}</p>${links}`,
    });
  }
  const { firstWords } = deps.adapters[row.provider].publishFlow;
  return answerFlowPage(c, {
    title: `${input.name} is installed in ${workspace ?? providerTitles[row.provider]}`,
    body: html`<p>${providerTitles[row.provider]} has confirmed it. ${firstWords}</p>${links}`,
  });
}

function requested(c: Context): Promise<Response> {
  return answerFlowPage(c, {
    title: 'An owner was asked',
    body: paragraphs([
      'You may not install apps in this organization, so its owners were asked. When one of them approves, this server is told, and the agent is ready by itself.',
    ]),
  });
}

/** Without a state the address proves nothing: GitHub is asked, and its list of installations decides. */
async function bare(
  c: Context,
  deps: FlowDeps,
  publicationId: string | undefined,
  lastBare: Map<string, number>,
): Promise<Response> {
  const now = deps.clock().getTime();
  const known = publicationId && /^pub_[0-9a-z]{1,40}$/.test(publicationId) ? publicationId : undefined;
  const organizationId = known && (await organizationOf(deps, known));
  if (known && organizationId && now - (lastBare.get(known) ?? 0) >= bareConfirmEveryMs) {
    keepNewest(lastBare, known, now, 1_000);
    try {
      const settled = await confirmPublication(deps, organizationId, known);
      if (settled.state === 'live') return await installed(c, deps, settled);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
    }
  }
  return answerFlowPage(c, {
    title: 'Back from the provider',
    body: paragraphs([
      'The provider did not say which step this belongs to. What was installed is checked with the provider itself: open the publication in the console, and choose "Check again".',
    ]),
  });
}

async function organizationOf(deps: FlowDeps, publicationId: string): Promise<string | undefined> {
  const { rows } = await deps.database.$client.query<{ organization_id: string }>(
    `select organization_id from publications where id = $1 and provider = any($2) and state <> 'unpublished'`,
    [publicationId, bareReturners(deps)],
  );
  return rows[0]?.organization_id;
}

/** The providers that send no code with which an installation would prove itself. */
function bareReturners({ adapters }: FlowDeps): string[] {
  return Object.entries(adapters).flatMap(([name, { publishFlow }]) => (publishFlow.exchange ? [] : [name]));
}

async function failed(c: Context, deps: FlowDeps, token: PublishToken, error: unknown): Promise<Response> {
  if (!(error instanceof ProviderError) && !(error instanceof ApiError)) throw error;
  deps.logger.warn({ publicationId: token.publicationId, err: error }, 'a step of publishing failed');
  const to = await back(c, deps, token.publicationId);
  return answerFlowPage(c, {
    title: 'That did not work',
    status: 400,
    body: html`<p class="note bad">${error.message}</p>
<p>Nothing is lost: everything up to this step is kept, and the step can be done again.</p>
<div class="actions"><a class="button" href="${to.href}">${to.words}</a></div>`,
  });
}

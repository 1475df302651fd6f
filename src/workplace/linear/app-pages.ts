import type { Hono } from 'hono';
import { html } from 'hono/html';
import { linearManifestSchema } from '../../providers/linear/manifest-schema.ts';
import { seeds } from '../seeds.ts';
import { formOf, isLoopback, vendorError, vendorPage, withParameters } from '../vendor-page.ts';
import type { LinearApps } from './apps.ts';

const authorizeFields = [
  'client_id',
  'redirect_uri',
  'response_type',
  'scope',
  'state',
  'actor',
  'code_challenge',
  'code_challenge_method',
];
const scopes = new Set([
  'read',
  'write',
  'issues:create',
  'comments:create',
  'timeSchedule:write',
  'admin',
  'app:assignable',
  'app:mentionable',
  'customer:read',
  'customer:write',
  'initiative:read',
  'initiative:write',
]);

function problemsOf(text: string): string[] {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return ['The manifest is not valid JSON.'];
  }
  const parsed = linearManifestSchema.safeParse(value);
  if (!parsed.success) return parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  return isLoopback(parsed.data.webhook.url)
    ? []
    : ['webhook.url: the Linear stand-in reaches this machine only.'];
}

/** Linear's pages where OAuth applications are made and authorized, and its token endpoints. */
export function linearAppPages(app: Hono, apps: LinearApps): void {
  const base = '/settings/api/applications';

  app.get(`${base}/new`, (c) => {
    const text = c.req.query('manifest') ?? '';
    const problems = problemsOf(text);
    if (problems.length > 0) return vendorError(c, 'Linear', 'This manifest is not valid', problems);
    const { oauth, webhook } = linearManifestSchema.parse(JSON.parse(text));
    return vendorPage(
      c,
      'Linear',
      'New OAuth application',
      html`<dl><dt>Name</dt><dd>${oauth.client_name}</dd><dt>Callback</dt><dd><code>${oauth.redirect_uris.join(', ')}</code></dd>
<dt>Webhook</dt><dd><code>${webhook.url}</code></dd><dt>Events</dt><dd>${webhook.resourceTypes.join(', ')}</dd></dl>
<form method="post" action="${base}"><input type="hidden" name="manifest" value="${text}"><div class="actions"><button type="submit">Create</button></div></form>`,
    );
  });

  app.post(base, async (c) => {
    const { manifest: text = '' } = await formOf(c);
    const problems = problemsOf(text);
    if (problems.length > 0) return vendorError(c, 'Linear', 'This manifest is not valid', problems);
    const { record } = apps.create(linearManifestSchema.parse(JSON.parse(text)));
    return c.redirect(`${base}/${record.clientId}`, 303);
  });

  app.get(`${base}/:client`, (c) => {
    const found = apps.byClient(c.req.param('client'));
    if (!found) return vendorError(c, 'Linear', 'There is no such application', [], 404);
    const { record } = found;
    const isInstalled = record.tokens.length > 0;
    return vendorPage(
      c,
      'Linear',
      record.name,
      html`<dl><dt>Client ID</dt><dd><code id="client_id">${record.clientId}</code></dd>
<dt>Client secret</dt><dd><code id="client_secret">${record.clientSecret}</code></dd>
<dt>Webhook signing secret</dt><dd><code id="signing_secret">${record.signingSecret}</code></dd></dl>
<form method="post" action="${base}/${record.clientId}/rotate-secret"><div class="actions"><button class="quiet" type="submit">Rotate the client secret</button></div></form>
${isInstalled ? html`<form method="post" action="${base}/${record.clientId}/revoke"><div class="actions"><button class="quiet" type="submit">Revoke access to ${seeds.company}</button></div></form>` : ''}`,
    );
  });

  app.post(`${base}/:client/revoke`, (c) => {
    const found = apps.byClient(c.req.param('client'));
    if (found) apps.uninstall(found);
    return c.redirect(`${base}/${c.req.param('client')}`, 303);
  });

  app.post(`${base}/:client/rotate-secret`, (c) => {
    const found = apps.byClient(c.req.param('client'));
    if (found) apps.rotateSecret(found);
    return c.redirect(`${base}/${c.req.param('client')}`, 303);
  });

  app.get('/oauth/authorize', (c) => {
    const given = c.req.query();
    const problem = refusal(apps, given);
    if (problem) return vendorError(c, 'Linear', 'This request is not valid', [problem]);
    const name = apps.byClient(given.client_id)?.record.name;
    return vendorPage(
      c,
      'Linear',
      `Let ${name} into ${seeds.company}?`,
      html`<p>It becomes an agent of the workspace, and may:</p><ul>${(given.scope ?? '').split(',').map((scope) => html`<li><code>${scope}</code></li>`)}</ul>
<form method="post" action="/oauth/authorize">${authorizeFields.map((field) => html`<input type="hidden" name="${field}" value="${given[field] ?? ''}">`)}
<div class="actions"><button type="submit" name="decision" value="allow">Authorize</button><button class="quiet" type="submit" name="decision" value="cancel">Cancel</button></div></form>`,
    );
  });

  app.post('/oauth/authorize', async (c) => {
    const given = await formOf(c);
    const problem = refusal(apps, given);
    const found = apps.byClient(given.client_id);
    if (problem || !found) return vendorError(c, 'Linear', 'This request is not valid', [problem ?? '']);
    const { redirect_uri: redirect = '', state } = given;
    if (given.decision !== 'allow') {
      return c.redirect(withParameters(redirect, { error: 'access_denied', state }), 302);
    }
    const code = apps.consent(found, redirect, given.code_challenge ?? '', given.scope ?? '');
    return c.redirect(withParameters(redirect, { code, state }), 302);
  });

  app.post('/oauth/token', async (c) => {
    const made = apps.token(await formOf(c));
    if (made) return c.json(made);
    return c.json(
      { error: 'invalid_grant', error_description: 'The code, the client or its secret is not valid.' },
      400,
    );
  });

  app.post('/oauth/revoke', async (c) => {
    const { token } = await formOf(c);
    apps.revoke(token);
    return c.json({});
  });
}

function refusal(apps: LinearApps, given: Record<string, string>): string | undefined {
  const found = apps.byClient(given.client_id);
  if (!found) return 'invalid_client: there is no application with this client id.';
  if (!found.record.redirectUris.includes(given.redirect_uri ?? ''))
    return 'invalid redirect_uri for the application.';
  if (given.response_type !== 'code') return 'response_type must be code.';
  const unknown = (given.scope ?? '').split(',').filter((scope) => !scopes.has(scope));
  if (unknown.length > 0) return `invalid_scope: ${unknown.join(', ')}`;
  if (given.actor !== 'app') return 'The stand-in installs app users only: actor must be app.';
  return undefined;
}

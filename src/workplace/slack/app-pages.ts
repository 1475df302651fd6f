import type { Hono } from 'hono';
import { html } from 'hono/html';
import { slackManifestSchema } from '../../providers/slack/manifest-schema.ts';
import type { Emulator } from '../emulator.ts';
import { seeds } from '../seeds.ts';
import { formOf, isLoopback, vendorError, vendorPage, withParameters } from '../vendor-page.ts';
import type { SlackApp, SlackApps } from './apps.ts';
import type { SlackTables } from './tables.ts';

/** What is wrong with a manifest, in words; none for a valid one. */
function problemsOf(text: string | undefined): string[] {
  let value: unknown;
  try {
    value = JSON.parse(text ?? '');
  } catch {
    return ['manifest_json is not valid JSON.'];
  }
  const parsed = slackManifestSchema.safeParse(value);
  if (!parsed.success) {
    return parsed.error.issues.map(({ path, message }) => `/${path.join('/')}: ${message}`);
  }
  const { request_url: url } = parsed.data.settings.event_subscriptions;
  return isLoopback(url)
    ? []
    : [`The emulated Slack reaches this machine only, not ${new URL(url).hostname}.`];
}

/** Slack's pages where apps are made from a manifest and installed, as far as the flow of publishing needs them. */
export function slackAppPages(app: Hono, apps: SlackApps, tables: SlackTables, emulator: Emulator): void {
  app.get('/apps', (c) => {
    const manifest = c.req.query('manifest_json');
    if (c.req.query('new_app') !== '1')
      return vendorError(c, 'Slack', 'Your apps', ['Open this page by the link of a manifest.']);
    const problems = problemsOf(manifest);
    if (problems.length > 0) return vendorError(c, 'Slack', 'This manifest is not valid', problems);
    const read = slackManifestSchema.parse(JSON.parse(manifest ?? ''));
    return vendorPage(
      c,
      'Slack',
      `Create ${read.display_information.name}`,
      html`<p>From the manifest that came with the link, in the workspace ${seeds.company}.</p>
<h2>Bot scopes</h2><ul>${read.oauth_config.scopes.bot.map((scope) => html`<li><code>${scope}</code></li>`)}</ul>
<h2>Events</h2><p>${read.settings.event_subscriptions.bot_events.join(', ')}</p>
<form method="post" action="/apps"><input type="hidden" name="manifest_json" value="${manifest ?? ''}">
<div class="actions"><button type="submit">Create</button></div></form>`,
    );
  });

  app.post('/apps', async (c) => {
    const { manifest_json: text } = await formOf(c);
    const problems = problemsOf(text);
    if (problems.length > 0) return vendorError(c, 'Slack', 'This manifest is not valid', problems);
    const made = await apps.create(slackManifestSchema.parse(JSON.parse(text ?? '')));
    return c.redirect(`/apps/${made.record.appId}`, 303);
  });

  app.get('/apps/:id', (c) => {
    const found = apps.find({ appId: c.req.param('id') });
    if (!found) return vendorError(c, 'Slack', 'There is no such app', [], 404);
    const { record } = found;
    return vendorPage(
      c,
      'Slack',
      `${record.name}: Basic Information`,
      html`<h2>App Credentials</h2><dl>
<dt>App ID</dt><dd><code id="app_id">${record.appId}</code></dd>
<dt>Client ID</dt><dd><code id="client_id">${record.clientId}</code></dd>
<dt>Client Secret</dt><dd><code id="client_secret">${record.clientSecret}</code></dd>
<dt>Signing Secret</dt><dd><code id="signing_secret">${record.signingSecret}</code></dd></dl>
<h2>Event Subscriptions</h2><p>Request URL <code>${record.requestUrl}</code>: <strong id="verified">${record.verified ? 'Verified' : 'Not verified'}</strong></p>
<form method="post" action="/apps/${record.appId}/verify"><button class="quiet" type="submit">Retry</button></form>
<h2>App Manifest</h2><form method="post" action="/apps/${record.appId}/manifest">
<label for="manifest">JSON</label><textarea id="manifest" name="manifest_json" rows="6" required></textarea>
<div class="actions"><button class="quiet" type="submit">Save Changes</button></div></form>
${record.installed ? html`<form method="post" action="/apps/${record.appId}/uninstall"><div class="actions"><button class="quiet" type="submit">Remove from ${seeds.company}</button></div></form>` : ''}`,
    );
  });

  app.post('/apps/:id/manifest', async (c) => {
    const found = apps.find({ appId: c.req.param('id') });
    if (!found) return vendorError(c, 'Slack', 'There is no such app', [], 404);
    const { manifest_json: text } = await formOf(c);
    const problems = problemsOf(text);
    if (problems.length > 0) return vendorError(c, 'Slack', 'This manifest is not valid', problems);
    apps.change(found, slackManifestSchema.parse(JSON.parse(text ?? '')));
    return c.redirect(`/apps/${found.record.appId}`, 303);
  });

  const act = (path: string, run: (found: SlackApp) => unknown) =>
    app.post(`/apps/:id/${path}`, async (c) => {
      const found = apps.find({ appId: c.req.param('id') });
      if (!found) return vendorError(c, 'Slack', 'There is no such app', [], 404);
      await run(found);
      return c.redirect(`/apps/${found.record.appId}`, 303);
    });
  act('verify', (found) => apps.challenge(found));
  act('uninstall', (found) => apps.uninstall(found));

  app.get('/oauth/v2/authorize', (c) => {
    const given = c.req.query();
    const problem = refusal(apps, given);
    if (problem) return vendorError(c, 'Slack', 'Something went wrong', [problem]);
    const found = apps.find({ clientId: given.client_id ?? '' });
    const scopes = (given.scope ?? '').split(',');
    return vendorPage(
      c,
      'Slack',
      `${found?.record.name} asks to join ${seeds.company}`,
      html`<p>It will be able to:</p><ul>${scopes.map((scope) => html`<li><code>${scope}</code></li>`)}</ul>
<form method="post" action="/oauth/v2/authorize">
${['client_id', 'scope', 'redirect_uri', 'state'].map((name) => html`<input type="hidden" name="${name}" value="${given[name] ?? ''}">`)}
<div class="actions"><button type="submit" name="decision" value="allow">Allow</button><button class="quiet" type="submit" name="decision" value="cancel">Cancel</button></div></form>`,
    );
  });

  app.post('/oauth/v2/authorize', async (c) => {
    const given = await formOf(c);
    const problem = refusal(apps, given);
    if (problem) return vendorError(c, 'Slack', 'Something went wrong', [problem]);
    const { redirect_uri: redirect = '', state, client_id = '', scope = '' } = given;
    if (given.decision !== 'allow') {
      return c.redirect(withParameters(redirect, { error: 'access_denied', state }), 302);
    }
    const admin = tables.users().find((user) => !user.is_bot);
    const body = new URLSearchParams({
      user_id: admin?.user_id ?? '',
      redirect_uri: redirect,
      state: state ?? '',
      client_id,
      scope,
    });
    return emulator.fetch(
      new Request('http://slack.invalid/oauth/v2/authorize/callback', {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: body.toString(),
      }),
    );
  });
}

function refusal(apps: SlackApps, given: Record<string, string>): string | undefined {
  const found = apps.find({ clientId: given.client_id ?? '' });
  if (!found) return 'invalid_client_id: there is no app with this client id.';
  if (!found.record.redirectUrls.some((url) => (given.redirect_uri ?? '').startsWith(url))) {
    return 'bad_redirect_uri: redirect_uri did not match any configured URIs.';
  }
  const unknown = (given.scope ?? '').split(',').filter((scope) => !found.record.scopes.includes(scope));
  return unknown.length > 0 ? `invalid_scope: ${unknown.join(', ')}` : undefined;
}

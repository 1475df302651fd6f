import type { Context, Hono } from 'hono';
import { html } from 'hono/html';
import { githubManifestSchema } from '../../providers/github/manifest-schema.ts';
import type { Emulator } from '../emulator.ts';
import { people, seeds } from '../seeds.ts';
import { formOf, isLoopback, vendorError, vendorPage, withParameters } from '../vendor-page.ts';
import type { GithubApp, GithubApps } from './apps.ts';

/** Who acts on these pages: the workplace's owner. */
const owner = people[0]?.handle ?? '';

/** GitHub's pages where apps are made from a manifest and installed, and the conversion of the code. */
export function githubAppPages(app: Hono, apps: GithubApps, emulator: Emulator): void {
  const newApp = async (c: Context) => {
    const account = c.req.param('org') ?? owner;
    const isKnown = account === owner || emulator.table('orgs').findBy('login', account).length > 0;
    if (!isKnown) return vendorError(c, 'GitHub', 'Not found', [`There is no organization ${account}.`], 404);
    const { manifest: text = '', name } = await formOf(c);
    const read = readManifest(text, name);
    if (!read.ok) return vendorError(c, 'GitHub', 'This manifest is not valid', read.problems);
    const { manifest } = read;
    if (apps.isNameTaken(manifest.name) && name === undefined) manifest.name = `${manifest.name}-2`;
    return vendorPage(
      c,
      'GitHub',
      `Create GitHub App for ${account}`,
      html`<form method="post" action="/settings/apps/create">
<input type="hidden" name="manifest" value="${text}"><input type="hidden" name="account" value="${account}">
<input type="hidden" name="state" value="${c.req.query('state') ?? ''}">
<label for="name">GitHub App name</label><input id="name" name="name" value="${manifest.name}" required maxlength="34">
<h2>Permissions</h2><ul>${Object.entries(manifest.default_permissions).map(([permission, level]) => html`<li><code>${permission}: ${level}</code></li>`)}</ul>
<h2>Events</h2><p>${manifest.default_events.join(', ')}</p>
<div class="actions"><button type="submit">Create GitHub App for ${account}</button></div></form>`,
    );
  };
  app.post('/settings/apps/new', newApp);
  app.post('/organizations/:org/settings/apps/new', newApp);

  app.post('/settings/apps/create', async (c) => {
    const { manifest: text = '', name, account = owner, state } = await formOf(c);
    const read = readManifest(text, name);
    if (!read.ok) return vendorError(c, 'GitHub', 'This manifest is not valid', read.problems);
    if (apps.isNameTaken(read.manifest.name)) {
      return vendorError(c, 'GitHub', 'Name is already in use', [
        `${read.manifest.name} is already taken. Go back and choose another.`,
      ]);
    }
    const { record } = apps.create(read.manifest, account);
    return c.redirect(withParameters(record.redirectUrl, { code: record.code?.value, state }), 302);
  });

  app.post('/app-manifests/:code/conversions', (c) => {
    const made = apps.redeem(c.req.param('code'));
    if (!made) return c.json({ message: 'Not Found', status: '404' }, 404);
    const { record } = made;
    const created_at = new Date().toISOString();
    return c.json(
      {
        id: record.appId,
        slug: record.slug,
        node_id: Buffer.from(`App${record.appId}`).toString('base64url'),
        client_id: record.clientId,
        owner: { login: record.owner },
        name: record.name,
        external_url: new URL(record.hookUrl).origin,
        html_url: new URL(`/apps/${record.slug}`, c.req.url).href,
        created_at,
        updated_at: created_at,
        permissions: record.permissions,
        events: record.events,
        client_secret: record.clientSecret,
        webhook_secret: record.webhookSecret,
        pem: record.privateKey,
      },
      201,
    );
  });

  app.get('/apps/:slug/installations/new', (c) => {
    const found = apps.bySlug(c.req.param('slug'));
    if (!found) return vendorError(c, 'GitHub', 'Not found', ['There is no such app.'], 404);
    const { record } = found;
    return vendorPage(
      c,
      'GitHub',
      `Install ${record.name}`,
      html`<p>On your organization <strong>${seeds.repository.owner}</strong>, with all of its repositories.</p>
<h2>With these permissions</h2><ul>${Object.entries(record.permissions).map(([permission, level]) => html`<li><code>${permission}: ${level}</code></li>`)}</ul>
<form method="post" action="/apps/${record.slug}/installations"><input type="hidden" name="state" value="${c.req.query('state') ?? ''}">
<div class="actions"><button type="submit">Install</button></div></form>`,
    );
  });

  app.post('/apps/:slug/installations', async (c) => {
    const found = apps.bySlug(c.req.param('slug'));
    const account = emulator.table('orgs').findBy('login', seeds.repository.owner)[0];
    if (!found || !account) return vendorError(c, 'GitHub', 'Not found', ['There is no such app.'], 404);
    const { state } = await formOf(c);
    const known = apps.installationOf(found) !== undefined;
    const id = apps.install(found, { id: account.id, login: seeds.repository.owner, type: 'Organization' });
    const setup = { installation_id: String(id), setup_action: known ? 'update' : 'install', state };
    return c.redirect(withParameters(found.record.setupUrl, setup), 302);
  });

  app.get('/apps/:slug', (c) => {
    const found = apps.bySlug(c.req.param('slug'));
    if (!found) return vendorError(c, 'GitHub', 'Not found', ['There is no such app.'], 404);
    const { record } = found;
    const installed = apps.installationOf(found);
    return vendorPage(
      c,
      'GitHub',
      record.name,
      installed
        ? html`<p>Installed on ${String(installed.account_login)}${installed.suspended_at ? ', suspended' : ''}.</p>
<form method="post" action="/apps/${record.slug}/${installed.suspended_at ? 'unsuspend' : 'suspend'}"><button class="quiet" type="submit">${installed.suspended_at ? 'Unsuspend' : 'Suspend'}</button></form>
${
  JSON.stringify(installed.permissions) === JSON.stringify(record.permissions)
    ? ''
    : html`<p>The app asks for other permissions than it has here.</p><form method="post" action="/apps/${record.slug}/accept"><button type="submit">Accept new permissions</button></form>`
}
<form method="post" action="/apps/${record.slug}/uninstall"><button class="quiet" type="submit">Uninstall</button></form>`
        : html`<p>Not installed.</p>`,
    );
  });

  const act = (path: string, run: (found: GithubApp) => void) =>
    app.post(`/apps/:slug/${path}`, (c) => {
      const found = apps.bySlug(c.req.param('slug'));
      if (found) run(found);
      return c.redirect(`/apps/${c.req.param('slug')}`, 303);
    });
  act('uninstall', (found) => apps.uninstall(found));
  act('accept', (found) => apps.acceptPermissions(found));
  act('suspend', (found) => apps.suspend(found, true));
  act('unsuspend', (found) => apps.suspend(found, false));

  app.get('/settings/apps/:slug/permissions', (c) => {
    const found = apps.bySlug(c.req.param('slug'));
    if (!found) return vendorError(c, 'GitHub', 'Not found', ['There is no such app.'], 404);
    const { record } = found;
    return vendorPage(
      c,
      'GitHub',
      `Permissions of ${record.name}`,
      html`<form method="post" action="/settings/apps/${record.slug}/permissions">
<label for="permissions">Repository permissions, as JSON</label>
<textarea id="permissions" name="permissions" rows="8" required>${JSON.stringify(record.permissions, null, 2)}</textarea>
<div class="actions"><button type="submit">Save changes</button></div></form>`,
    );
  });

  app.post('/settings/apps/:slug/permissions', async (c) => {
    const found = apps.bySlug(c.req.param('slug'));
    if (!found) return vendorError(c, 'GitHub', 'Not found', ['There is no such app.'], 404);
    const { permissions = '' } = await formOf(c);
    const read = readPermissions(permissions);
    if (!read)
      return vendorError(c, 'GitHub', 'These permissions are not valid', ['A level is read or write.']);
    apps.changePermissions(found, read);
    return c.redirect(`/apps/${found.record.slug}`, 303);
  });

  app.delete('/app/installations/:id{[0-9]+}', async (c) => {
    const authorization = c.req.header('authorization') ?? '';
    // The emulator knows whose signature this is, and answers for an app's own installations only.
    const look = await emulator.fetch(new Request(c.req.url, { headers: { authorization } }));
    if (!look.ok) return look;
    const { app_id: appId } = (await look.json()) as { app_id: number };
    const made = apps.byId(appId);
    // The workplace's own app stays where it is.
    if (made) apps.uninstall(made);
    return c.body(null, 204);
  });
}

type Read =
  | { ok: true; manifest: ReturnType<typeof githubManifestSchema.parse> }
  | { ok: false; problems: string[] };

function readManifest(text: string, name: string | undefined): Read {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, problems: ['The form has no manifest that is valid JSON.'] };
  }
  const parsed = githubManifestSchema.safeParse(
    name === undefined || typeof value !== 'object' ? value : { ...value, name },
  );
  if (!parsed.success) {
    return {
      ok: false,
      problems: parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`),
    };
  }
  if (!isLoopback(parsed.data.hook_attributes.url)) {
    return {
      ok: false,
      problems: ['The emulated GitHub reaches this machine only: hook_attributes.url leads elsewhere.'],
    };
  }
  return { ok: true, manifest: parsed.data };
}

function readPermissions(text: string): Record<string, string> | undefined {
  try {
    return githubManifestSchema.shape.default_permissions.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

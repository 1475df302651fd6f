import type { Hono } from 'hono';
import { z } from 'zod';
import type { GatewayEnv } from '../authentication.ts';
import type { GatewayDeps } from '../deps.ts';
import { ApiError, readJson } from '../errors.ts';
import { giveCredentials } from '../publish/create.ts';
import { replaceWebhookSecret } from '../publish/credentials.ts';
import { countHandoffs, createHandoff, revokeHandoffs } from '../publish/handoff.ts';
import { loadPublication, unreachableReason } from '../publish/input.ts';
import { startLink } from '../publish/steps.ts';
import { setupView } from '../publish/view.ts';

const linkInput = z.strictObject({ step: z.enum(['create', 'install']) });
const secretInput = z.strictObject({
  webhook_secret: z
    .string()
    .trim()
    .min(8)
    .max(500)
    .regex(/^[\x21-\x7e]+$/, 'one line without spaces'),
});

export interface SetupHooks {
  /** A change that the webhook door of this process shall see at once. */
  onChanged(publicationId: string): void;
  /** Whether the provider asked this process who it is (Slack's `url_verification`). */
  wasChallenged(publicationId: string): boolean;
}

/** `/v1/publications/{id}/…`: the guided flow, step by step, and what goes with it. */
export function publicationSetupRoutes(app: Hono<GatewayEnv>, deps: GatewayDeps, hooks: SetupHooks): void {
  const view = (organizationId: string, id: string) =>
    setupView(deps, organizationId, id, hooks.wasChallenged);

  app.get('/v1/publication_options', (c) =>
    c.json({
      type: 'publication_options',
      emulated: deps.config.pages?.emulated !== undefined,
      warning: unreachableReason(deps.config.baseUrl) ?? null,
    }),
  );

  app.get('/v1/publications/:id/setup', async (c) =>
    c.json(await view(c.var.caller.organizationId, c.req.param('id'))),
  );

  app.post('/v1/publications/:id/links', async (c) => {
    const { step } = await readJson(c, linkInput);
    const { publication } = await loadPublication(deps, c.var.caller.organizationId, c.req.param('id'));
    if (publication.state === 'unpublished') {
      throw new ApiError('conflict_error', 'This publication is unpublished. Publish the agent anew.');
    }
    if (step === 'install' && publication.state === 'pending_setup') {
      throw new ApiError(
        'conflict_error',
        'The app does not exist yet: make it first, and give its credentials.',
      );
    }
    const { url, expiresAt } = await startLink(deps, publication, step);
    return c.json({ type: 'publication_link', step, url, expires_at: expiresAt }, 201);
  });

  app.post('/v1/publications/:id/credentials', async (c) => {
    const given = await readJson(c, z.record(z.string(), z.unknown()));
    const { organizationId } = c.var.caller;
    const { publication } = await loadPublication(deps, organizationId, c.req.param('id'));
    await giveCredentials(deps, publication, given);
    hooks.onChanged(publication.id);
    return c.json(await view(organizationId, publication.id));
  });

  app.post('/v1/publications/:id/webhook_secret', async (c) => {
    const { webhook_secret: secret } = await readJson(c, secretInput);
    const { organizationId } = c.var.caller;
    await replaceWebhookSecret(deps, organizationId, c.req.param('id'), secret);
    hooks.onChanged(c.req.param('id'));
    return c.json(await view(organizationId, c.req.param('id')));
  });

  app.get('/v1/publications/:id/handoffs', async (c) =>
    c.json(await countHandoffs(deps, c.var.caller.organizationId, c.req.param('id'))),
  );

  app.post('/v1/publications/:id/handoffs', async (c) => {
    const { url, expiresAt } = await createHandoff(deps, c.var.caller.organizationId, c.req.param('id'));
    return c.json({ type: 'publication_handoff', url, expires_at: expiresAt }, 201);
  });

  app.post('/v1/publications/:id/handoffs/revoke', async (c) => {
    const revoked = await revokeHandoffs(deps, c.var.caller.organizationId, c.req.param('id'));
    return c.json({ revoked });
  });
}

import { timingSafeEqual } from 'node:crypto';
import { Hono } from 'hono';
import type { Clock } from '../clock.ts';
import { type DeliveryState, WebhookSender } from '../deliveries.ts';
import type { WorkplaceSecrets } from '../secrets.ts';
import { linearAppPages } from './app-pages.ts';
import { type LinearAppRecord, LinearApps } from './apps.ts';
import { LinearDesk } from './desk.ts';
import { linearError } from './errors.ts';
import { answerGraphql } from './graphql.ts';
import { mutationFields } from './mutations.ts';
import { queryFields } from './queries.ts';
import { appUserOf, firstRecords, type LinearRecords } from './records.ts';
import { agentSessionEvent, linearDeliveryPolicy } from './webhooks.ts';

export interface LinearState {
  records: LinearRecords;
  deliveries: DeliveryState;
  /** Absent in states that were saved before apps could be made. */
  apps?: LinearAppRecord[];
}

export interface LinearOfficeOptions {
  agentName: string;
  secrets: WorkplaceSecrets['linear'];
  clock: Clock;
  fetch: typeof fetch;
  changed(): void;
  state?: LinearState;
}

/** The stand-in for Linear: its GraphQL API at `/graphql`, and the agent session events that it sends. */
export interface LinearOffice {
  app: Hono;
  desk: LinearDesk;
  records: LinearRecords;
  sender: WebhookSender;
  /** Made from manifests, beside the workplace's own app. */
  apps: LinearApps;
  state(): LinearState;
}

/** Starts the office, from its saved state when there is one. */
export function startLinear(options: LinearOfficeOptions): LinearOffice {
  const { secrets, clock, changed, state } = options;
  const records = state?.records ?? firstRecords(options.agentName, new Date(clock.now()).toISOString());
  const sender = new WebhookSender({
    policy: linearDeliveryPolicy(secrets.signingSecret),
    clock,
    fetch: options.fetch,
    changed,
    ...(state ? { state: state.deliveries } : {}),
  });
  const apps = new LinearApps({
    linear: records,
    clock,
    fetch: options.fetch,
    changed,
    ...(state?.apps ? { records: state.apps } : {}),
  });
  const desk = new LinearDesk({
    records,
    clock,
    changed,
    tell(session, activity) {
      const app = apps.byUser(session.appUserId);
      const payload = agentSessionEvent(records, session, activity, desk.stamp(), app?.record);
      void (app?.sender ?? sender).send('AgentSessionEvent', payload);
    },
  });
  return {
    app: linearApi(desk, apps, secrets.accessToken),
    apps,
    desk,
    records,
    sender,
    state: () => ({ records, deliveries: sender.state(), apps: apps.state() }),
  };
}

function linearApi(desk: LinearDesk, apps: LinearApps, accessToken: string): Hono {
  const actorOf = (authorization: string) => {
    const wanted = Buffer.from(`Bearer ${accessToken}`);
    const given = Buffer.from(authorization);
    if (given.length === wanted.length && timingSafeEqual(given, wanted)) return appUserOf(desk.records);
    return apps.actor(authorization.replace(/^Bearer /, ''));
  };
  const app = new Hono();
  linearAppPages(app, apps);
  app.post('/graphql', async (c) => {
    const actor = actorOf(c.req.header('authorization') ?? '');
    if (!actor) {
      const error = linearError('unauthenticated', 'Authentication required, not authenticated');
      return c.json({ errors: [error.toJSON()] }, 401);
    }
    const request = (await c.req.json().catch(() => ({}))) as Record<string, unknown>;
    const roots = { ...queryFields(desk, actor), ...mutationFields(desk, actor) };
    const { status, body } = await answerGraphql(request ?? {}, roots);
    return c.json(body, status as 200);
  });
  app.all('*', (c) => c.json({ error: 'Not found' }, 404));
  return app;
}

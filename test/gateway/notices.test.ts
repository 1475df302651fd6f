import { createHmac } from 'node:crypto';
import { eq, sql } from 'drizzle-orm';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createApiKey } from '../../src/gateway/access.ts';
import { createNotifyJob } from '../../src/gateway/notices/notify-job.ts';
import type { Database } from '../../src/store/connection.ts';
import type { Jobs } from '../../src/store/jobs.ts';
import { raiseNotice } from '../../src/store/notices.ts';
import { withOrganization } from '../../src/store/organization.ts';
import { changePublicationState } from '../../src/store/publication-changes.ts';
import { adminNotices, egressRequests, notificationUrls } from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';
import { createFixture } from '../support/fixture.ts';
import { startTestEgress, type TestEgress } from '../vault/support/egress.ts';
import { startUpstream, type Upstream } from '../vault/support/upstream.ts';
import { addPublication, rootKey, startTestGateway, type TestGateway } from './support.ts';

const publicAddress = '93.184.216.34';
const slackLike = 'https://hooks.example.com/services/T1/B1/the-secret-path';

describe('notices', () => {
  let database: Database;
  let gateway: TestGateway;
  let egress: TestEgress;
  let receiver: Upstream;
  let notify: (job: Jobs['notify']) => Promise<void>;

  beforeAll(async () => {
    const test = await createTestDatabase();
    database = test.database;
    gateway = await startTestGateway(test);
    egress = await startTestEgress(test, { rootKey: rootKey.toString('base64url') });
    receiver = await startUpstream();
    egress.network.machines.set(publicAddress, receiver.port);
    notify = createNotifyJob({
      database,
      notify: (notification) => egress.egress.notify(notification),
      clock: () => new Date(),
      config: { baseUrl: 'https://tagalong.example.com' },
    });
    return async () => {
      receiver.close();
      await gateway.close();
    };
  });
  beforeEach(async () => {
    await database.delete(notificationUrls);
    await database.delete(adminNotices);
    await database.execute(
      sql`select graphile_worker.complete_jobs(array_agg(id)) from graphile_worker.jobs`,
    );
    egress.network.names.set('hooks.example.com', [publicAddress]);
    receiver.seen.length = 0;
    receiver.answer = (_request, response) => void response.end('ok');
  });

  const add = async (url = slackLike) =>
    (await gateway.api('POST', '/v1/notification_urls', { url, name: 'Operations' })).body;
  const change = (id: string, ...event: [Parameters<typeof changePublicationState>[2], string | null]) =>
    withOrganization(database, gateway.organizationId, (tx) =>
      changePublicationState(tx, id, ...event, new Date()),
    );
  const jobs = async () => {
    const { rows } = await database.execute<{ payload: Jobs['notify'] }>(
      sql`select payload from graphile_worker._private_jobs p join graphile_worker.jobs j using (id)
          where j.task_identifier = 'notify' order by p.id`,
    );
    return rows.map(({ payload }) => payload);
  };
  const list = async (query = '') =>
    (await gateway.api('GET', `/v1/notices${query}`)).body.data as Record<string, unknown>[];

  it('are written with the change, once, and closed when it is over', async () => {
    const { id } = await addPublication(gateway, 'slack');
    await change(id, 'revoked', 'The app was uninstalled at the provider.');
    expect(await change(id, 'revoked', 'Again.')).toBeUndefined();
    expect(await list('?state=open')).toEqual([
      expect.objectContaining({
        kind: 'publication.needs_reauth',
        publication_id: id,
        text: 'Ada in Slack needs to be installed again. The app was uninstalled at the provider.',
        resolved_at: null,
      }),
    ]);
    await change(id, 'installed', null);
    expect(await list('?state=open')).toEqual([]);
    expect((await list()).map(({ kind }) => kind)).toEqual(['publication.live', 'publication.needs_reauth']);
  });

  it('hold whatever a provider said, cut to what somebody reads', async () => {
    const { id } = await addPublication(gateway, 'slack');
    await change(id, 'revoked', `\0\ud800${'x'.repeat(100_000)}\u{1f600}`);
    const [notice] = await list('?state=open');
    expect(String(notice?.text).length).toBeLessThanOrEqual(1_500);
    expect(String(notice?.text)).not.toContain('\0');
  });

  it('are not written when the change is not', async () => {
    const { id } = await addPublication(gateway, 'linear');
    await withOrganization(database, gateway.organizationId, async (tx) => {
      await changePublicationState(tx, id, 'suspended', 'x', new Date());
      throw new Error('cut off');
    }).catch(() => {});
    expect(await list()).toEqual([]);
    expect(await jobs()).toEqual([]);
  });

  it('are sent to the address, signed in the manner of Standard Webhooks, with one id over all tries', async () => {
    const { id: urlId, signing_secret: secret } = await add();
    const { id } = await addPublication(gateway, 'github');
    await change(id, 'suspended', 'The app was <!channel> suspended.');
    const [job] = await jobs();
    if (!job) throw new Error('no job');
    receiver.answer = (_request, response) => {
      response.statusCode = 500;
      response.end('not now');
    };
    await expect(notify(job)).rejects.toThrow('hooks.example.com answered 500');
    receiver.answer = (_request, response) => void response.end('ok');
    await notify(job);
    const [first, second] = receiver.seen;
    expect(receiver.seen).toHaveLength(2);
    expect(first?.headers['webhook-id']).toBe(job.noticeId);
    expect(second?.headers['webhook-id']).toBe(job.noticeId);
    expect(second?.url).toBe('/services/T1/B1/the-secret-path');
    const key = Buffer.from(String(secret).replace('whsec_', ''), 'base64');
    const { 'webhook-timestamp': timestamp, 'webhook-signature': signature } = second?.headers ?? {};
    const mac = createHmac('sha256', key).update(`${job.noticeId}.${timestamp}.${second?.body}`);
    expect(signature).toBe(`v1,${mac.digest('base64')}`);
    expect(JSON.parse(second?.body ?? '')).toEqual({
      text: `Ada in GitHub is suspended. The app was !channel suspended.\nhttps://tagalong.example.com/publications/${id}`,
      type: 'event',
      id: job.noticeId,
      created_at: expect.stringMatching(/^\d{4}-/),
      data: { type: 'publication.suspended', id, organization_id: gateway.organizationId },
    });
    const shown = (await gateway.api('GET', '/v1/notification_urls')).body.data;
    expect(shown).toEqual([
      expect.objectContaining({ id: urlId, host: 'hooks.example.com', last_status: 200, last_error: null }),
    ]);
  });

  it('keep the address and its secret sealed, out of answers and records', async () => {
    const { signing_secret: secret, ...rest } = await add();
    expect(JSON.stringify(rest)).not.toContain('the-secret-path');
    const rows = JSON.stringify(await database.select().from(notificationUrls));
    for (const hidden of ['the-secret-path', String(secret)]) expect(rows).not.toContain(hidden);
    await withOrganization(database, gateway.organizationId, (tx) =>
      raiseNotice(
        tx,
        {
          organizationId: gateway.organizationId,
          kind: 'notification.test',
          publicationId: null,
          text: 'x',
          settled: true,
        },
        new Date(),
      ),
    );
    for (const job of await jobs()) await notify(job);
    await egress.egress.flush();
    const records = await database
      .select()
      .from(egressRequests)
      .where(eq(egressRequests.rule, 'notification'));
    expect(records.at(-1)).toMatchObject({
      host: 'hooks.example.com',
      path: '/…',
      status: 200,
      credential: 'Operations',
    });
  });

  it('never lead into this network: what resolves to a private address is refused for good', async () => {
    await add();
    const { id } = await addPublication(gateway, 'slack');
    await change(id, 'revoked', null);
    const [job] = await jobs();
    if (!job) throw new Error('no job');
    const addresses = ['127.0.0.1', '10.0.0.7', '169.254.169.254', '::1', 'fd00::1'];
    for (const [n, address] of addresses.entries()) {
      egress.network.names.set(`private${n}.example.com`, [address]);
      const { id: urlId } = await add(`https://private${n}.example.com/x`);
      egress.network.dialled.length = 0;
      await notify({ ...job, urlId: String(urlId) });
      expect(egress.network.dialled).toEqual([]);
      const shown = (await gateway.api('GET', '/v1/notification_urls')).body.data;
      expect(shown).toContainEqual(
        expect.objectContaining({
          id: urlId,
          last_error: expect.stringContaining('does not resolve to a public address'),
        }),
      );
    }
    expect(receiver.seen).toEqual([]);
  });

  it('are tried again where the name or the machine does not answer', async () => {
    const { id: urlId } = await add('https://away.example.com/hook');
    const { id } = await addPublication(gateway, 'slack');
    await change(id, 'revoked', null);
    const [job] = await jobs();
    if (!job) throw new Error('no job');
    await expect(notify(job)).rejects.toThrow('could not be resolved');
    egress.network.names.set('away.example.com', ['93.184.216.35']);
    await expect(notify(job)).rejects.toThrow('could not be reached');
    egress.network.machines.set('93.184.216.35', receiver.port);
    await notify(job);
    expect(receiver.seen).toHaveLength(1);
    // Taken off the list meanwhile: there is nothing left to do.
    await gateway.api('DELETE', `/v1/notification_urls/${urlId}`);
    await notify(job);
    expect(receiver.seen).toHaveLength(1);
  });

  it('end where the stored address was moved from another row, or changed', async () => {
    const { id: first } = await add('https://hooks.example.com/first');
    const { id: second } = await add('https://hooks.example.com/second');
    const [other] = await database
      .select()
      .from(notificationUrls)
      .where(eq(notificationUrls.id, String(second)));
    await database
      .update(notificationUrls)
      .set({ sealed: other?.sealed ?? '' })
      .where(eq(notificationUrls.id, String(first)));
    await gateway.api('POST', `/v1/notification_urls/${first}/test`, {});
    for (const job of await jobs()) await notify(job);
    expect(receiver.seen).toEqual([]);
    expect((await gateway.api('GET', '/v1/notification_urls')).body.data).toContainEqual(
      expect.objectContaining({ id: first, last_error: expect.stringContaining('does not open') }),
    );
  });

  it('end where the receiver says that it is gone', async () => {
    await add();
    const { id } = await addPublication(gateway, 'slack');
    await change(id, 'revoked', null);
    receiver.answer = (_request, response) => {
      response.statusCode = 410;
      response.end();
    };
    for (const job of await jobs()) await notify(job);
    expect((await gateway.api('GET', '/v1/notification_urls')).body.data).toEqual([
      expect.objectContaining({ last_status: 410, last_error: 'hooks.example.com answered 410.' }),
    ]);
  });

  it.each([
    ['http://hooks.example.com/x', 'https address'],
    ['hooks.example.com', 'https address'],
    ['https://127.0.0.1/x', 'public host'],
    ['https://[::1]/x', 'public host'],
    ['https://0x7f.1/x', 'public host'],
    ['https://localhost/x', 'public host'],
    ['https://hooks.example.com:8443/x', 'port 443'],
    ['https://me:secret@hooks.example.com/x', 'user name'],
  ])('are not sent to %s', async (url, words) => {
    const { status, body } = await gateway.api('POST', '/v1/notification_urls', { url });
    expect(status).toBe(400);
    expect(JSON.stringify(body)).toContain(words);
  });

  it('go to ten addresses and not more, each on trial when asked, and belong to their organization', async () => {
    const ids: unknown[] = [];
    for (let n = 0; n < 10; n++) ids.push((await add(`https://hooks.example.com/${n}`)).id);
    expect((await gateway.api('POST', '/v1/notification_urls', { url: slackLike })).status).toBe(409);
    expect((await gateway.api('POST', `/v1/notification_urls/${ids[3]}/test`, {})).status).toBe(202);
    expect((await jobs()).map(({ urlId }) => urlId)).toEqual([ids[3]]);
    expect(await list('?state=open')).toEqual([]);

    const other = await createFixture(database);
    const key = await createApiKey(database, other.organizationId, 'other');
    const asOther = (method: string, path: string) =>
      fetch(gateway.url + path, { method, headers: { 'x-api-key': key } });
    expect(await (await asOther('GET', '/v1/notices')).json()).toMatchObject({ data: [] });
    expect(await (await asOther('GET', '/v1/notification_urls')).json()).toMatchObject({ data: [] });
    expect((await asOther('DELETE', `/v1/notification_urls/${ids[3]}`)).status).toBe(404);
    expect((await asOther('POST', `/v1/notification_urls/${ids[3]}/test`)).status).toBe(404);
  });
});

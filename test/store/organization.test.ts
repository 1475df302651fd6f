import { eq, sql } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import type { Database } from '../../src/store/connection.ts';
import { newId } from '../../src/store/ids.ts';
import { enqueue } from '../../src/store/jobs.ts';
import { withOrganization } from '../../src/store/organization.ts';
import { agents, organizations } from '../../src/store/schema.ts';
import { createTestDatabase } from '../support/database.ts';

describe('withOrganization', () => {
  let database: Database;
  const ours = newId('org');
  const theirs = newId('org');
  const agentId = newId('agent');

  beforeAll(async () => {
    database = (await createTestDatabase()).database;
    await database.insert(organizations).values([
      { id: ours, name: 'ours' },
      { id: theirs, name: 'theirs' },
    ]);
    await withOrganization(database, ours, (tx) =>
      tx.insert(agents).values({ id: agentId, organizationId: ours }),
    );
  });

  it('shows the rows of its organization and of no other', async () => {
    const seen = (id: string) =>
      withOrganization(database, id, (tx) => tx.select().from(agents).where(eq(agents.id, agentId)));
    expect(await seen(ours)).toHaveLength(1);
    expect(await seen(theirs)).toHaveLength(0);
  });

  it('refuses to write a row of another organization', async () => {
    const write = withOrganization(database, theirs, (tx) =>
      tx.insert(agents).values({ id: newId('agent'), organizationId: ours }),
    );
    await expect(write).rejects.toMatchObject({
      cause: { message: expect.stringContaining('row-level security') },
    });
  });

  it('does not leave the role or the organization on the connection', async () => {
    await withOrganization(database, ours, async () => {});
    const after = await database.execute(
      sql`select current_user as name, current_setting('tagalong.organization_id', true) as organization`,
    );
    expect(after.rows[0]).toMatchObject({ name: 'tagalong', organization: '' });
  });

  it('adds a job with the data, and none when the transaction fails', async () => {
    const jobs = async () =>
      (await database.execute(sql`select count(*)::int as n from graphile_worker.jobs`)).rows[0]?.n;
    const payload = { organizationId: ours, sessionId: 'sesn_1' };
    await withOrganization(database, ours, (tx) => enqueue(tx, 'turn', payload, { key: 'turn:sesn_1' }));
    expect(await jobs()).toBe(1);
    const failing = withOrganization(database, ours, async (tx) => {
      await enqueue(tx, 'turn', payload);
      throw new Error('stop');
    });
    await expect(failing).rejects.toThrow('stop');
    expect(await jobs()).toBe(1);
  });

  it('may not read the job tables', async () => {
    const read = withOrganization(database, ours, (tx) =>
      tx.execute(sql`select * from graphile_worker._private_jobs`),
    );
    await expect(read).rejects.toThrow();
  });
});

import { beforeAll, describe, expect, it } from 'vitest';
import { loadAsker, objectionToAsker, reachesOut } from '../../src/outbound/asker-check.ts';
import type { Judgement, ProviderContext, ProviderTool } from '../../src/providers/provider.ts';
import type { Database } from '../../src/store/connection.ts';
import { withOrganization } from '../../src/store/organization.ts';
import { createTestDatabase } from '../support/database.ts';
import { createStage, giveMessage, type Stage } from './stage.ts';

let database: Database;
beforeAll(async () => {
  database = (await createTestDatabase()).database;
});

const asker = (stage: Stage) =>
  withOrganization(database, stage.organizationId, (tx) =>
    loadAsker(tx, { turnId: stage.turnId, anchorId: stage.anchorId }),
  );
const context = {} as ProviderContext;

describe('who asked, before a write beyond the anchor', () => {
  it('is the person who last asked in the turn, not who was only heard', async () => {
    const stage = await createStage(database);
    await giveMessage(stage, { author: { id: 'U1', kind: 'person' } });
    await giveMessage(stage, { author: { id: 'U9', kind: 'person' }, authority: false, wakes: false });
    expect(await asker(stage)).toMatchObject({ author: { id: 'U1' }, anchor: { place: { channel: 'C1' } } });
  });

  it('is not asked about where the policy names them, or nobody had authority to lose', async () => {
    const named = await createStage(database, { policy: { authority: { people: ['U1'] } } });
    await giveMessage(named);
    expect(await asker(named)).toBeUndefined();
    const letIn = await createStage(database);
    await giveMessage(letIn, { authority: false });
    expect(await asker(letIn)).toBeUndefined();
  });

  it('is asked about anew, and who lost authority meanwhile is an objection', async () => {
    const asked: unknown[] = [];
    const adapter = (judgement: Judgement) => ({
      async mayAddress(_context: ProviderContext, who: unknown, options?: { fresh?: boolean }) {
        asked.push([who, options]);
        return judgement;
      },
    });
    const who = { author: { id: 'U1', kind: 'person' as const }, anchor: { key: 'k', place: {} } };
    expect(await objectionToAsker(adapter({ allowed: true }), context, who)).toBeUndefined();
    const gone = adapter({ allowed: false, kind: 'unknown', detail: 'their account is deactivated' });
    expect(await objectionToAsker(gone, context, who)).toMatch(/no authority any more: their account/);
    expect(asked).toEqual([
      [who, { fresh: true }],
      [who, { fresh: true }],
    ]);
  });

  it('only writes that leave the anchor', () => {
    const tool = (over: Partial<ProviderTool>) => ({ effect: 'write', ...over }) as ProviderTool;
    const away = { isInAnchor: ({ number }: Readonly<Record<string, unknown>>) => number === undefined };
    expect(reachesOut(tool(away), { number: 8 }, {})).toBe(true);
    expect(reachesOut(tool(away), {}, {})).toBe(false);
    expect(reachesOut(tool({}), { number: 8 }, {})).toBe(false);
    expect(reachesOut(tool({ ...away, effect: 'read' }), { number: 8 }, {})).toBe(false);
  });
});

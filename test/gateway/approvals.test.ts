import { eq } from 'drizzle-orm';
import { beforeAll, describe, expect, it } from 'vitest';
import { createApiKey } from '../../src/gateway/access.ts';
import { adapters } from '../../src/providers/index.ts';
import { sessionPort } from '../../src/sessions/session-port.ts';
import { actions } from '../../src/store/schema.ts';
import { ask, createStage, giveMessage, type Stage, voteOn } from '../outbound/stage.ts';
import { type RestSetUp, setUpRest } from './rest-support.ts';

interface Answer {
  status: number;
  body: Record<string, unknown> & { error?: { type: string; message: string } };
}

describe('/v1/approvals', () => {
  let t: RestSetUp;
  beforeAll(async () => {
    t = await setUpRest({ approvals: { adapters, sessions: sessionPort } });
    return () => t.gateway.close();
  });

  /** A request that waits, and the API as its organization calls it. */
  async function waiting(policy: Record<string, unknown> = {}) {
    const stage = await createStage(t.database, { policy: { approvals: policy } });
    await giveMessage(stage);
    const asked = await ask(stage, 'plans');
    const key = await createApiKey(t.database, stage.organizationId, 'test');
    const api = async (method: string, path: string, body?: unknown): Promise<Answer> => {
      const answer = await fetch(`${t.gateway.url}${path}`, {
        method,
        headers: { 'x-api-key': key, 'content-type': 'application/json' },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: answer.status, body: (await answer.json()) as Answer['body'] };
    };
    return { stage, ...asked, api, path: `/v1/approvals/${asked.approvalId}` };
  }
  const sent = async (stage: Stage) => {
    await stage.send();
    return stage.cloud.posts.filter(({ tool }) => tool === 'slack_canvas').length;
  };

  it('shows what waits: what would be done, who asked, by which rules', async () => {
    const { api, approvalId, actionId, path, stage } = await waiting({ needed: 2 });
    const { body } = await api('GET', '/v1/approvals?state=waiting');
    expect(body.data).toMatchObject([{ id: approvalId, type: 'approval', state: 'waiting' }]);
    expect((await api('GET', path)).body).toMatchObject({
      id: approvalId,
      action_id: actionId,
      session_id: stage.sessionId,
      provider: 'slack',
      capability: 'slack:canvas.write',
      tool: 'slack_canvas',
      shown: expect.stringContaining('text: plans'),
      askers: [{ id: 'U1' }],
      rules: { approvers: null, needed: 2, self: false },
      votes: [],
      outcome: null,
    });
    expect((await api('GET', '/v1/approvals?state=approved')).body.data).toEqual([]);
    expect((await api('GET', `/v1/approvals?session_id=${stage.sessionId}`)).body.data).toHaveLength(1);
  });

  it('approves once, whatever is said later', async () => {
    const { api, path, stage } = await waiting();
    const decided = await api('POST', `${path}/decide`, { decision: 'approve' });
    expect(decided).toMatchObject({
      status: 200,
      body: { state: 'approved', outcome: 'Approved by an admin.' },
    });
    expect(await api('POST', `${path}/decide`, { decision: 'reject' })).toMatchObject({
      status: 409,
      body: { error: { type: 'conflict_error', message: expect.stringContaining('approved already') } },
    });
    expect(await sent(stage)).toBe(1);
  });

  it('counts as one voter of several', async () => {
    const { api, path, approvalId, stage } = await waiting({ needed: 2 });
    expect(await api('POST', `${path}/decide`, { decision: 'approve' })).toMatchObject({
      status: 200,
      body: { state: 'waiting' },
    });
    expect((await api('POST', `${path}/decide`, { decision: 'approve' })).status).toBe(409);
    expect(await sent(stage)).toBe(0);
    await voteOn(stage, approvalId);
    expect((await api('GET', path)).body).toMatchObject({
      state: 'approved',
      votes: [{ voter_id: 'api' }, { voter_id: 'U2', decision: 'approve' }],
    });
    expect(await sent(stage)).toBe(1);
  });

  it('keeps the end of what was changed, although the caller gets an error', async () => {
    const { api, path, actionId, stage } = await waiting();
    await t.database
      .update(actions)
      .set({ arguments: { text: 'Plans' } })
      .where(eq(actions.id, actionId));
    expect(await api('POST', `${path}/decide`, { decision: 'approve' })).toMatchObject({ status: 409 });
    expect((await api('GET', path)).body).toMatchObject({ state: 'rejected' });
    expect(await sent(stage)).toBe(0);
  });

  it('knows nothing of another organization, and no other words than two', async () => {
    const { path, api } = await waiting();
    expect((await t.api('GET', path)).status).toBe(404);
    expect((await t.api('POST', `${path}/decide`, { decision: 'approve' })).status).toBe(404);
    for (const body of [{}, { decision: 'yes' }, { decision: 'approve', as: 'U1' }, []]) {
      expect((await api('POST', `${path}/decide`, body)).status).toBe(400);
    }
    expect((await api('GET', path)).body.state).toBe('waiting');
  });
});

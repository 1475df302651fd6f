import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { startWorkplace, type Workplace, type WorkplaceOptions } from '../../../src/workplace/workplace.ts';
import { ManualClock } from './manual-clock.ts';
import { createReceiver } from './receiver.ts';

export const webhookUrls = {
  slack: 'http://127.0.0.1:9/webhooks/slack/pub_1',
  github: 'http://127.0.0.1:9/webhooks/github/pub_2',
  linear: 'http://127.0.0.1:9/webhooks/linear/pub_3',
};

export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'workplace-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A workplace of the test's own, its webhooks taken by a receiver in this process; closed when the test ends. */
export async function openWorkplace(options: Partial<WorkplaceOptions> = {}) {
  const clock = new ManualClock();
  const receiver = createReceiver();
  const folder = options.folder ?? (await temporaryFolder());
  const start = async (): Promise<Workplace> => {
    const workplace = await startWorkplace({
      clock,
      fetch: receiver.fetch,
      saveDelayMs: 1,
      ...options,
      folder,
    });
    onTestFinished(() => workplace.close());
    workplace.setWebhookUrls(webhookUrls);
    return workplace;
  };
  return { workplace: await start(), clock, receiver, folder, start };
}

import { parentPort } from 'node:worker_threads';
import type { FromThread, ToThread } from './json-bodies.ts';
import { textsOf } from './json-texts.ts';
import { judgeModelBody } from './model-body.ts';

/** The thread of `JsonBodies`: reads one body after the other. */
parentPort?.on('message', (order: ToThread) => {
  const bytes = Buffer.from(order.bytes.buffer);
  if (order.kind === 'texts') {
    parentPort?.postMessage({ id: order.id, kind: 'texts', texts: textsOf(bytes) } satisfies FromThread);
    return;
  }
  const { wire, mayReachOut } = order;
  const judged = judgeModelBody({ bytes, wire, mayReachOut });
  const body = judged.ok ? new Uint8Array(judged.body) : undefined;
  parentPort?.postMessage(
    { id: order.id, kind: 'model', judged: body ? { ok: true, body } : judged } satisfies FromThread,
    body ? [body.buffer] : [],
  );
});

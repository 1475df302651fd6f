import { request } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { type DoorAnswer, type DoorQuestion, privateHeaders } from './protocol.ts';

/** Asks the worker of this host about one request of a session. Rejects when it does not answer. */
export type AskWorker = (sessionId: string, question: DoorQuestion) => Promise<DoorAnswer>;

/** The worker asks the provider in turn, which has 20 s of its own. */
const timeoutMs = 30_000;

/** Asks on the worker's private socket. */
export function askWorkerOn(socketPath: string): AskWorker {
  return (sessionId, question) =>
    new Promise((resolve, reject) => {
      const headers = {
        'content-type': 'application/json',
        [privateHeaders.session]: sessionId,
        [privateHeaders.door]: '1',
      };
      const asked = request(
        { socketPath, path: '/door', method: 'POST', headers, signal: AbortSignal.timeout(timeoutMs) },
        (response) => {
          buffer(response)
            .then((body) => resolve(readAnswer(response.statusCode, body)))
            .catch(reject);
        },
      );
      asked.once('error', reject);
      asked.end(JSON.stringify(question));
    });
}

function readAnswer(status: number | undefined, body: Buffer): DoorAnswer {
  if (status !== 200) throw new Error(`The worker answered ${status}.`);
  const answer: unknown = JSON.parse(body.toString('utf8'));
  if (typeof answer !== 'object' || answer === null || !('ok' in answer)) {
    throw new Error('The worker answered with something else.');
  }
  if (answer.ok === true) return { ok: true };
  return { ok: false, reason: 'reason' in answer ? String(answer.reason) : 'The worker said no.' };
}

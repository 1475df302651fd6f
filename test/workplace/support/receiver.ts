/** One webhook as it arrived. */
export interface Received {
  url: string;
  headers: Record<string, string>;
  body: string;
  json: Record<string, unknown>;
}

type Answer = number | 'refused' | 'silent' | Response;

/** Stands where the gateway would: takes webhooks, remembers them, and answers as it is told (200 unless told). */
export function createReceiver() {
  const received: Received[] = [];
  const answers: Answer[] = [];
  const receive: typeof fetch = async (input, init = {}) => {
    const body = String(init.body);
    const headers = Object.fromEntries(new Headers(init.headers));
    received.push({ url: String(input), headers, body, json: JSON.parse(body) });
    const answer = answers.shift() ?? 200;
    if (answer === 'refused') throw new TypeError('fetch failed');
    if (answer === 'silent') {
      return await new Promise((_resolve, reject) => {
        init.signal?.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')));
      });
    }
    return answer instanceof Response ? answer : new Response(null, { status: answer });
  };
  return {
    received,
    fetch: receive,
    /** The answers to the next requests, in order. */
    answerWith: (...next: Answer[]) => answers.push(...next),
  };
}

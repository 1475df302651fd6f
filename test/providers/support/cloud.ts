/** One HTTP request that an SDK made, as it left. */
export interface Recorded {
  method: string;
  url: string;
  /** Path without query, for GitHub; the method's name, for Slack; the GraphQL operation, for Linear. */
  call: string;
  headers: Headers;
  form: Record<string, string>;
  json: Record<string, unknown>;
}

export interface Answer {
  status?: number;
  headers?: Record<string, string>;
  json?: unknown;
  text?: string;
  throws?: unknown;
}

export interface Cloud {
  fetch: typeof fetch;
  requests: Recorded[];
  /** The requests of one call. */
  of(call: string): Recorded[];
}

/** A vendor's cloud that answers each call by a function of the test, and keeps what it was sent. */
export function createCloud(answer: (request: Recorded) => Answer): Cloud {
  const requests: Recorded[] = [];
  return {
    requests,
    of: (call) => requests.filter((request) => request.call === call),
    fetch: async (input, init) => {
      const request = new Request(input, init);
      const recorded = await record(request);
      requests.push(recorded);
      const { status = 200, headers, json, text, throws } = answer(recorded);
      if (throws !== undefined) throw throws;
      const body = text ?? JSON.stringify(json ?? { ok: true });
      return new Response(body, { status, headers: { 'content-type': 'application/json', ...headers } });
    },
  };
}

async function record(request: Request): Promise<Recorded> {
  const text = await request.text();
  const { pathname } = new URL(request.url);
  const isForm = request.headers.get('content-type')?.includes('form') ?? false;
  const json = !isForm && text !== '' ? (JSON.parse(text) as Record<string, unknown>) : {};
  const operation =
    typeof json.query === 'string' ? /(?:query|mutation)\s+(\w+)/.exec(json.query)?.[1] : undefined;
  const call = pathname.startsWith('/api/') ? pathname.slice('/api/'.length) : (operation ?? pathname);
  return {
    method: request.method,
    url: request.url,
    call,
    headers: request.headers,
    form: isForm ? Object.fromEntries(new URLSearchParams(text)) : {},
    json,
  };
}

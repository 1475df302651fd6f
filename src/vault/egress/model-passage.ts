import { type Asking, unmapped } from './asking.ts';
import { isHeaderValue, withHeader } from './header-rules.ts';
import {
  type ModelName,
  type ModelWire,
  maxModelBodyBytes,
  modelEndpoint,
  modelHeader,
} from './model-door.ts';
import { UsageReader } from './model-usage.ts';
import type { PassageResult } from './pass-on.ts';
import { failed, refuse } from './refusal.ts';
import { mayReachThroughModel } from './session-policy.ts';

/** A request to a model with the operator's key: its endpoints only, and nothing that reaches out from the vendor. */
export async function modelPassage(asking: Asking, model: ModelName): Promise<PassageResult> {
  const { parts, policy, host, request } = asking;
  const endpoint = modelEndpoint(model, request.method, request.target.path);
  if (!endpoint.ok) return endpoint;
  let body: Buffer | null = null;
  if (endpoint.wire !== 'none') {
    const read = await readModelBody(asking, endpoint.wire);
    if (!Buffer.isBuffer(read)) return read;
    body = read;
  } else if (request.body.kind !== 'none') {
    return { ok: false, refusal: refuse('model.body', 'This model request takes no body.', 400) };
  }
  const emulated = policy.publication?.emulated ?? false;
  const target = request.target.path + request.target.search;
  const route = parts.rules.upstreams.route(host, target, emulated);
  if (!route) return { ok: false, refusal: unmapped(host) };
  const key = parts.rules.modelCredentials[model];
  if (key !== undefined && !isHeaderValue(key)) {
    return {
      ok: false,
      refusal: failed('credential.unreadable', `The key for ${host} is not a header value.`),
    };
  }
  // So that what comes back can be read along.
  const plain = withHeader(asking.headers, 'accept-encoding', 'identity');
  return {
    ok: true,
    passage: {
      rule: `model:${model}`,
      isPatient: true,
      credential: key === undefined ? null : `${model} model key`,
      method: request.method,
      route,
      secrets: key === undefined ? [] : [key],
      ...(endpoint.counts ? { reader: new UsageReader() } : {}),
      headers: key === undefined ? plain : withHeader(plain, ...modelHeader(model, key)),
      body,
    },
  };
}

/** The body as it goes on, or why it does not. */
async function readModelBody(
  { parts, session, policy, request, headers, body, wantBody }: Asking,
  wire: Exclude<ModelWire, 'none'>,
): Promise<Buffer | Extract<PassageResult, { ok: false }>> {
  if (request.body.kind === 'length' && request.body.bytes > maxModelBodyBytes) {
    return {
      ok: false,
      refusal: refuse('body.too_large', 'The body of this model request is too large.', 413),
    };
  }
  for (let i = 0; i < headers.length; i += 2) {
    if (headers[i]?.toLowerCase() === 'content-encoding') {
      return { ok: false, refusal: refuse('model.body', 'A model request must not be compressed.', 415) };
    }
  }
  wantBody();
  const bytes = await body.readAll(maxModelBodyBytes, session.budget, session.lane);
  const mayReachOut = mayReachThroughModel(policy, parts.rules);
  const letGo = session.budget.hold(bytes.byteLength);
  try {
    const judged = await parts.jsonBodies.judge(session, { bytes, wire, mayReachOut });
    return judged.ok ? judged.body : judged;
  } finally {
    letGo();
  }
}

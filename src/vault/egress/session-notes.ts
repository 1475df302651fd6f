import { newId } from '../../store/ids.ts';
import type { EgressDecision } from '../../store/schema.ts';
import type { NewEvent } from '../../store/session-events.ts';
import { keepNewest } from '../keep-newest.ts';
import type { ModelUsage } from './model-usage.ts';

/** What of a record the log is told. */
export interface NotedRecord {
  sessionId: string | null;
  turnId: string | null;
  at: Date;
  method: string;
  host: string;
  port: number;
  path: string;
  status: number | null;
  durationMs: number;
  decision: EgressDecision;
  rule: string;
  usage?: ModelUsage;
  message?: string;
}

/** Refusals of one turn that stand in the log, each rule and host once; then one event that says that there are more. */
const maxRefusals = 20;
const maxSessions = 10_000;

/**
 * What of the requests of a session stands in its event log: what was refused, so that a person sees why the agent did
 * not get somewhere, and what each model request cost. Everything else is in the records.
 */
export class SessionNotes {
  readonly #told = new Map<string, { turnId: string | null; refusals: Set<string> }>();

  /** The events for one record; none for most. */
  eventsFor(record: NotedRecord): NewEvent[] {
    if (record.sessionId === null) return [];
    if (record.usage) return modelRequest(record, record.usage);
    return record.decision === 'refused' ? this.#refusal(record.sessionId, record) : [];
  }

  #refusal(sessionId: string, record: NotedRecord): NewEvent[] {
    const { turnId, rule, host } = record;
    let told = this.#told.get(sessionId);
    if (!told || told.turnId !== turnId) {
      told = { turnId, refusals: new Set() };
      keepNewest(this.#told, sessionId, told, maxSessions);
    }
    const key = `${rule} ${host}`;
    if (told.refusals.has(key) || told.refusals.size > maxRefusals) return [];
    told.refusals.add(key);
    if (told.refusals.size > maxRefusals) {
      const message = `More was refused in this turn. All of it is in GET /v1/egress_requests?session_id=${sessionId}&decision=refused.`;
      return [{ type: 'tagalong.egress_refused', payload: { rule: 'more', message } }];
    }
    const { method, port, path, message = '' } = record;
    return [
      {
        type: 'tagalong.egress_refused',
        payload: { host, port, method, path: path.slice(0, 200), rule, message },
        processedAt: record.at,
      },
    ];
  }
}

/** As the Managed Agents API tells of them: input is counted without what came from the cache or went into it. */
function modelRequest(record: NotedRecord, usage: ModelUsage): NewEvent[] {
  const id = newId('sevt', record.at.getTime());
  const cached = usage.cachedTokens ?? 0;
  const written = usage.writtenTokens ?? 0;
  return [
    { id, type: 'span.model_request_start', payload: {}, processedAt: record.at },
    {
      type: 'span.model_request_end',
      payload: {
        model_request_start_id: id,
        is_error: record.decision !== 'allowed' || record.status === null || record.status >= 400,
        model_usage: {
          input_tokens: Math.max(0, (usage.inputTokens ?? 0) - cached - written),
          output_tokens: usage.outputTokens ?? 0,
          cache_read_input_tokens: cached,
          cache_creation_input_tokens: written,
        },
        model: usage.model,
        stop_reason: usage.stopReason,
        status: record.status,
        duration_ms: record.durationMs,
      },
      processedAt: new Date(record.at.getTime() + record.durationMs),
    },
  ];
}

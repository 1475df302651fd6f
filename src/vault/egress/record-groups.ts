import { maxGroupSpanMs } from '../../store/egress-requests.ts';
import { idTimeMs, newId } from '../../store/ids.ts';
import type { egressRecords } from '../../store/schema.ts';
import type { EgressRecord } from './records.ts';

export type RecordGroup = Omit<typeof egressRecords.$inferSelect, 'chain' | 'number' | 'seal'>;

/** What requests of one group have alike. */
const shared = [
  'organizationId',
  'sessionId',
  'installationId',
  'turnId',
  'method',
  'scheme',
  'host',
  'port',
  'credential',
  'decision',
  'rule',
] as const satisfies (keyof RecordGroup & keyof EgressRecord)[];

/**
 * Puts records that differ only in time, path and what became of them together, each group in the order of their
 * beginnings. The same records give the same groups, with the same identifiers, whenever they are given.
 */
export function groupRecords(records: readonly EgressRecord[]): RecordGroup[] {
  const groups: RecordGroup[] = [];
  for (const alike of gatherAlike(records)) {
    let from = 0;
    for (let at = 1; at <= alike.length; at++) {
      if (at < alike.length && timeOf(alike[at]) - timeOf(alike[from]) <= maxGroupSpanMs) continue;
      groups.push(toGroup(alike.slice(from, at)));
      from = at;
    }
  }
  return groups;
}

function gatherAlike(records: readonly EgressRecord[]): Iterable<EgressRecord[]> {
  const gathered = new Map<string, EgressRecord[]>();
  let last: EgressRecord[] | undefined;
  for (const record of records) {
    // Neighbours are mostly alike, and seeing that costs less than a key does.
    if (!last || !isAlike(record, last[0])) {
      const key = record.usage ? `${gathered.size}` : JSON.stringify(shared.map((name) => record[name]));
      last = gathered.get(key) ?? [];
      gathered.set(key, last);
    }
    last.push(record);
  }
  for (const alike of gathered.values()) alike.sort((one, other) => timeOf(one) - timeOf(other));
  return gathered.values();
}

function isAlike(one: EgressRecord, other: EgressRecord | undefined): boolean {
  if (!other || one.usage || other.usage) return false;
  for (const name of shared) if (one[name] !== other[name]) return false;
  return true;
}

const timeOf = (record: EgressRecord | undefined): number => record?.at.getTime() ?? 0;

/** Ends so that none of its requests' own identifiers, which end with their place, sorts behind it. */
function idOf(first: EgressRecord, lastMs: number): string {
  // One that had a later end, before the database refused it and it was divided, would be listed out of its place.
  if (first.groupId === undefined || idTimeMs(first.groupId) !== lastMs) {
    first.groupId = `${newId('egr', lastMs).slice(0, -4)}zzzz`;
  }
  return first.groupId;
}

function toGroup(records: readonly EgressRecord[]): RecordGroup {
  const [first] = records;
  if (!first) throw new RangeError('A group of no records.');
  const atMs = timeOf(first);
  const { usage } = first;
  const group: RecordGroup = {
    id: idOf(first, timeOf(records.at(-1))),
    organizationId: first.organizationId,
    sessionId: first.sessionId,
    installationId: first.installationId,
    turnId: first.turnId,
    method: first.method,
    scheme: first.scheme,
    host: first.host,
    port: first.port,
    credential: first.credential,
    decision: first.decision,
    rule: first.rule,
    model: usage?.model ?? null,
    inputTokens: usage?.inputTokens ?? null,
    outputTokens: usage?.outputTokens ?? null,
    cachedTokens: usage?.cachedTokens ?? null,
    stopReason: usage?.stopReason ?? null,
    at: first.at,
    offsetsMs: [],
    paths: [],
    statuses: [],
    bytesUp: [],
    bytesDown: [],
    durationsMs: [],
  };
  for (const record of records) {
    group.offsetsMs.push(timeOf(record) - atMs);
    group.paths.push(record.path);
    group.statuses.push(record.status);
    group.bytesUp.push(record.bytesUp);
    group.bytesDown.push(record.bytesDown);
    group.durationsMs.push(record.durationMs);
  }
  return group;
}

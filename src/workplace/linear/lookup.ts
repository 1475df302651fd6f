import { notFound } from './errors.ts';
import { type IssueRecord, identifierOf, type LinearRecords } from './records.ts';

/** The record of an id; Linear's "Entity not found" when there is none. */
export function lookup<Shape extends { id: string }>(
  all: readonly Shape[],
  id: unknown,
  entity: string,
): Shape {
  const found = all.find((record) => record.id === id);
  if (!found) throw notFound(entity);
  return found;
}

/** An issue by UUID or by identifier, as Linear takes both. */
export function lookupIssue(records: LinearRecords, id: unknown): IssueRecord {
  const named = records.issues.find((issue) => identifierOf(records, issue) === String(id).toUpperCase());
  return named ?? lookup(records.issues, id, 'Issue');
}

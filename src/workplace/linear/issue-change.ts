import type { LinearDesk } from './desk.ts';
import { linearError } from './errors.ts';
import { lookup } from './lookup.ts';
import type { IssueRecord } from './records.ts';

type Input = Record<string, unknown>;

/**
 * Applies an `IssueUpdateInput` (title, description, priority, state, assignee, delegate, labels). Every id in it must
 * exist; nothing is changed when one does not. The agent itself can be an issue's delegate, never its assignee.
 */
export function changeIssue(desk: LinearDesk, issue: IssueRecord, input: Input): void {
  const { records } = desk;
  const changes: Partial<IssueRecord> = {};
  if (typeof input.title === 'string') changes.title = input.title;
  if (input.description !== undefined)
    changes.description = input.description === null ? null : String(input.description);
  if (typeof input.priority === 'number') changes.priority = input.priority;
  if (typeof input.stateId === 'string') {
    changes.stateId = lookup(records.states, input.stateId, 'WorkflowState').id;
  }
  const userOf = (id: unknown) => (id === null ? null : lookup(records.users, id, 'User'));
  if (input.assigneeId !== undefined) {
    const assignee = userOf(input.assigneeId);
    if (assignee?.app) throw linearError('invalid_input', 'An app user can be a delegate, not an assignee.');
    changes.assigneeId = assignee?.id ?? null;
  }
  if (input.delegateId !== undefined) {
    const delegate = userOf(input.delegateId);
    if (delegate && !delegate.app) {
      throw linearError('invalid_input', 'Only an app user can be a delegate.');
    }
    changes.delegateId = delegate?.id ?? null;
  }
  changes.labelIds = labelsAfter(desk, issue, input);
  Object.assign(issue, changes, { updatedAt: desk.stamp() });
  desk.changed();
}

function labelsAfter({ records }: LinearDesk, issue: IssueRecord, input: Input): string[] {
  const ids = (value: unknown): string[] =>
    Array.isArray(value) ? value.map((id) => lookup(records.labels, id, 'IssueLabel').id) : [];
  const base = Array.isArray(input.labelIds) ? ids(input.labelIds) : issue.labelIds;
  const removed = ids(input.removedLabelIds);
  return [...new Set([...base, ...ids(input.addedLabelIds)])].filter((id) => !removed.includes(id));
}

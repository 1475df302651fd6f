import { linearError } from './errors.ts';
import { matches } from './filter.ts';

interface Node {
  id: string;
  createdAt: string;
  updatedAt: string;
}

export interface ConnectionArguments {
  first?: number | null;
  last?: number | null;
  after?: string | null;
  before?: string | null;
  orderBy?: 'createdAt' | 'updatedAt' | null;
  filter?: Record<string, unknown> | null;
}

const usualLength = 50;
const maxLength = 250;

/** A Relay connection over nodes, newest first as Linear orders them; cursors are ids. */
export function connection<Shape extends Node>(all: readonly Shape[], given: ConnectionArguments = {}) {
  const { first, last, after, before, orderBy, filter } = given;
  const asked = first ?? last ?? usualLength;
  if (asked < 1 || asked > maxLength) {
    throw linearError(
      'invalid_input',
      `Argument Validation Error: first and last must be between 1 and ${maxLength}.`,
    );
  }
  const field = orderBy ?? 'createdAt';
  const nodes = all.filter((node) => !filter || matches(node, filter)).reverse();
  nodes.sort((a, b) => (a[field] < b[field] ? 1 : a[field] > b[field] ? -1 : 0));
  const start = after ? indexOf(nodes, after) + 1 : 0;
  const end = before ? indexOf(nodes, before) : nodes.length;
  const within = nodes.slice(start, Math.max(start, end));
  const fromEnd = last !== undefined && last !== null && (first === undefined || first === null);
  const page = fromEnd ? within.slice(-asked) : within.slice(0, asked);
  return {
    nodes: page,
    edges: page.map((node) => ({ node, cursor: node.id })),
    pageInfo: {
      hasNextPage: fromEnd ? end < nodes.length : start + page.length < end,
      hasPreviousPage: fromEnd ? within.length > page.length : start > 0,
      startCursor: page[0]?.id ?? null,
      endCursor: page.at(-1)?.id ?? null,
    },
  };
}

function indexOf(nodes: readonly Node[], cursor: string): number {
  const index = nodes.findIndex(({ id }) => id === cursor);
  if (index < 0) throw linearError('invalid_input', `Argument Validation Error: unknown cursor ${cursor}.`);
  return index;
}

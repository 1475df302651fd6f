import { linearError } from './errors.ts';

type Comparator = (value: unknown, operand: unknown) => boolean;

const lower = (value: unknown) => String(value ?? '').toLowerCase();
// Dates are compared as they are written: ISO 8601 in UTC sorts as text.
const ordered = (value: unknown) =>
  value instanceof Date ? value.toISOString() : (value as string | number);

const comparators: Record<string, Comparator> = {
  eq: (value, operand) => value === operand,
  neq: (value, operand) => value !== operand,
  in: (value, operand) => Array.isArray(operand) && operand.includes(value),
  nin: (value, operand) => Array.isArray(operand) && !operand.includes(value),
  null: (value, operand) => (value === null || value === undefined) === operand,
  eqIgnoreCase: (value, operand) => lower(value) === lower(operand),
  neqIgnoreCase: (value, operand) => lower(value) !== lower(operand),
  contains: (value, operand) => String(value ?? '').includes(String(operand)),
  notContains: (value, operand) => !String(value ?? '').includes(String(operand)),
  containsIgnoreCase: (value, operand) => lower(value).includes(lower(operand)),
  startsWith: (value, operand) => String(value ?? '').startsWith(String(operand)),
  endsWith: (value, operand) => String(value ?? '').endsWith(String(operand)),
  lt: (value, operand) => ordered(value) < ordered(operand),
  lte: (value, operand) => ordered(value) <= ordered(operand),
  gt: (value, operand) => ordered(value) > ordered(operand),
  gte: (value, operand) => ordered(value) >= ordered(operand),
};

/** Whether a node fits one of Linear's filters: comparators, `and`, `or`, and filters of what the node refers to. */
export function matches(node: unknown, filter: Record<string, unknown>): boolean {
  return Object.entries(filter).every(([name, condition]) => {
    if (condition === null || condition === undefined) return true;
    if (name === 'and') return (condition as Record<string, unknown>[]).every((part) => matches(node, part));
    if (name === 'or') return (condition as Record<string, unknown>[]).some((part) => matches(node, part));
    const value = (node as Record<string, unknown>)[name];
    const conditions = condition as Record<string, unknown>;
    if (Object.keys(conditions).every((key) => key in comparators)) {
      return Object.entries(conditions).every(([key, operand]) => comparators[key]?.(value, operand));
    }
    if (typeof value === 'function') {
      throw linearError('invalid_input', `The workplace's Linear does not filter by ${name}.`);
    }
    const { null: wantsNone, ...rest } = conditions;
    if (wantsNone === true) return value === null || value === undefined;
    return typeof value === 'object' && value !== null && matches(value, rest);
  });
}

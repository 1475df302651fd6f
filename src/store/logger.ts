import { DrizzleQueryError } from 'drizzle-orm';
import pg from 'pg';
import pino from 'pino';

/**
 * How errors are logged. A failed query is told by what the database said of it: the query builder's own message
 * repeats all parameters, and the database's details repeat rows; both hold message text and sealed values.
 */
export function serializeError(error: unknown): unknown {
  const told = error instanceof DrizzleQueryError ? (error.cause ?? new Error('A query failed.')) : error;
  if (told instanceof pg.DatabaseError) {
    const { code, table, constraint, stack } = told;
    return {
      type: 'DatabaseError',
      code,
      message: told.message.split(':')[0],
      table,
      constraint,
      stack: framesOf(stack),
    };
  }
  return told instanceof Error ? pino.stdSerializers.err(told) : told;
}

/** The stack without its first line, which is the message again. */
function framesOf(stack: string | undefined): string | undefined {
  return stack?.slice(stack.indexOf('\n    at '));
}

/** A logger that writes JSON lines to a file descriptor. */
export function createLogger(options: { level: string; name?: string; descriptor: number }): pino.Logger {
  const { level, name, descriptor } = options;
  const destination = pino.destination({ fd: descriptor, sync: true });
  return pino({ level, ...(name ? { name } : {}), serializers: { err: serializeError } }, destination);
}

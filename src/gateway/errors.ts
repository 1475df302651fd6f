import { randomBytes } from 'node:crypto';
import type { Context } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { z } from 'zod';

/** The closed set of what the REST API says went wrong, with its HTTP status. */
export const apiErrorStatus = {
  invalid_request_error: 400,
  authentication_error: 401,
  permission_error: 403,
  not_found_error: 404,
  conflict_error: 409,
  request_too_large: 413,
  api_error: 500,
  unavailable_error: 503,
} as const;

export type ApiErrorType = keyof typeof apiErrorStatus;

/** Thrown by a handler; answered in the API's error shape. The message is for the caller. */
export class ApiError extends Error {
  override name = 'ApiError';
  readonly type: ApiErrorType;
  constructor(type: ApiErrorType, message: string, options?: ErrorOptions) {
    super(message, options);
    this.type = type;
  }
}

export function notFound(what: string, id: string): ApiError {
  return new ApiError('not_found_error', `There is no ${what} ${id}.`);
}

export function newRequestId(): string {
  return `req_${randomBytes(12).toString('hex')}`;
}

/** `{type: 'error', error: {type, message}, request_id}`, as the Managed Agents API has it. */
export function errorBody(type: ApiErrorType, message: string, requestId: string) {
  // Its SDK knows one type for all that is the server's fault.
  const shown = type === 'unavailable_error' ? 'api_error' : type;
  return { type: 'error', error: { type: shown, message }, request_id: requestId };
}

export function answerError(c: Context, type: ApiErrorType, message: string, requestId: string): Response {
  return c.json(errorBody(type, message, requestId), apiErrorStatus[type] satisfies ContentfulStatusCode);
}

/** What is wrong with an input, field by field, in one line. */
export function describeIssues(error: z.ZodError, prefix = ''): string {
  return error.issues
    .map((issue) => {
      const path = [prefix, ...issue.path.map(String)].filter(Boolean).join('.');
      if (issue.code === 'unrecognized_keys') {
        return `Unknown field: ${issue.keys.map((key) => (path ? `${path}.${key}` : key)).join(', ')}`;
      }
      return path ? `${path}: ${issue.message}` : issue.message;
    })
    .join('; ');
}

/** Parses a request's JSON body. Throws an `invalid_request_error` that names each wrong field. */
export async function readJson<Schema extends z.ZodType>(
  c: Context,
  schema: Schema,
): Promise<z.output<Schema>> {
  let body: unknown;
  try {
    body = JSON.parse(await c.req.text());
  } catch {
    throw new ApiError('invalid_request_error', 'The body is not valid JSON.');
  }
  const parsed = schema.safeParse(body);
  if (!parsed.success) throw new ApiError('invalid_request_error', describeIssues(parsed.error));
  return parsed.data;
}

/** Parses the query. Unknown parameters are let be: SDKs of several ages add some. */
export function readQuery<Schema extends z.ZodType>(c: Context, schema: Schema): z.output<Schema> {
  const parsed = schema.safeParse(c.req.query());
  if (!parsed.success) throw new ApiError('invalid_request_error', describeIssues(parsed.error));
  return parsed.data;
}

import { z } from 'zod';
import { ApiError } from './errors.ts';

/** `limit` and `page` of a list, for a schema's shape. */
export function pageParameters(defaultLimit = 20, maxLimit = 100) {
  return {
    limit: z.coerce.number().int().min(1).max(maxLimit).default(defaultLimit),
    page: z.string().max(500).optional(),
  };
}

/** A page's cursor is opaque to callers: here, the last row's key. */
export function encodeCursor(key: string | number): string {
  return Buffer.from(JSON.stringify([key])).toString('base64url');
}

/** The key of the last row of the page before; undefined on the first page. */
export function decodeCursor(page: string | undefined): string | undefined {
  if (page === undefined || page === '') return undefined;
  try {
    const [key] = z
      .tuple([z.union([z.string(), z.number()])])
      .parse(JSON.parse(Buffer.from(page, 'base64url').toString()));
    return String(key);
  } catch {
    throw new ApiError('invalid_request_error', 'page: not a cursor of this API; take it from next_page.');
  }
}

export interface Page<Item> {
  data: Item[];
  next_page: string | null;
}

/** Makes a page of up to `limit` rows out of `limit + 1` that were read: the one too many tells that there is more. */
export function toPage<Row, Item>(
  rows: readonly Row[],
  limit: number,
  keyOf: (row: Row) => string | number,
  show: (row: Row) => Item,
): Page<Item> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  return {
    data: shown.map(show),
    next_page: rows.length > limit && last !== undefined ? encodeCursor(keyOf(last)) : null,
  };
}

import { customType, timestamp } from 'drizzle-orm/pg-core';

/** Raw bytes. */
export const bytes = customType<{ data: Buffer }>({ dataType: () => 'bytea' });

/** A moment. */
export const at = (name: string) => timestamp(name, { withTimezone: true, mode: 'date' });

/** A moment that is now unless given. */
export const now = (name: string) => at(name).notNull().defaultNow();

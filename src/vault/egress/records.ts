import type { Logger } from 'pino';
import type { Database } from '../../store/connection.ts';
import { newId } from '../../store/ids.ts';
import { withOrganization } from '../../store/organization.ts';
import { type EgressDecision, egressRequests } from '../../store/schema.ts';

import type { ModelUsage } from './model-usage.ts';

/** One request, for the record. Without query, bodies and secrets. */
export interface EgressRecord {
  organizationId: string;
  sessionId: string | null;
  installationId: string | null;
  turnId: string | null;
  at: Date;
  method: string;
  scheme: 'http' | 'https' | 'dns';
  host: string;
  port: number;
  path: string;
  status: number | null;
  bytesUp: number;
  bytesDown: number;
  durationMs: number;
  credential: string | null;
  decision: EgressDecision;
  rule: string;
  /** Of requests to models. */
  usage?: ModelUsage;
}

/** Writes a batch; the database's in production. */
export type WriteRecords = (
  organizationId: string,
  rows: readonly (EgressRecord & { id: string })[],
) => Promise<void>;

export interface RecorderOptions {
  write: WriteRecords;
  logger: Logger;
  flushMs?: number;
  maxBatch?: number;
  /** With more than this waiting, nothing is let through any more. */
  maxWaiting?: number;
}

/** Writes records into `egress_requests`, each organization's under its own role. */
export function databaseWriter(database: Database): WriteRecords {
  return (organizationId, rows) =>
    withOrganization(database, organizationId, async (tx) => {
      await tx.insert(egressRequests).values(rows.map(({ usage, ...row }) => ({ ...row, ...usage })));
    });
}

const maxPathLength = 2_048;

/**
 * Collects records and writes them in batches, off the request's path. While the database is away they wait; when
 * too many do, `full` says so, and the proxy lets nothing through that it could not record.
 */
export class Recorder {
  readonly #options: Required<RecorderOptions>;
  #waiting: (EgressRecord & { id: string })[] = [];
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> | undefined;
  /** The database did not take the last batch. */
  #away = false;

  constructor(options: RecorderOptions) {
    this.#options = { flushMs: 200, maxBatch: 500, maxWaiting: 20_000, ...options };
  }

  get full(): boolean {
    return this.#waiting.length >= this.#options.maxWaiting;
  }

  add(record: EgressRecord): void {
    this.#waiting.push({
      ...record,
      id: newId('egr', record.at.getTime()),
      method: printable(record.method).slice(0, 32),
      host: printable(record.host).slice(0, 255),
      path: printable(record.path).slice(0, maxPathLength),
    });
    if (this.#waiting.length >= this.#options.maxBatch) void this.flush();
    else this.#schedule();
  }

  /** Writes what waits. Resolves when it is written or the database refused; never rejects. */
  async flush(): Promise<void> {
    while (this.#writing) await this.#writing;
    if (this.#waiting.length === 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#write(this.#waiting.splice(0, this.#options.maxBatch)).finally(() => {
      this.#writing = undefined;
    });
    await this.#writing;
  }

  /** Writes all that is left; gives up on what cannot be written. */
  async stop(): Promise<void> {
    for (let before = -1; this.#waiting.length > 0 && this.#waiting.length !== before; ) {
      before = this.#waiting.length;
      await this.flush();
    }
    clearTimeout(this.#timer);
    if (this.#waiting.length > 0) {
      this.#options.logger.error({ lost: this.#waiting.length }, 'Egress records could not be written.');
    }
  }

  #schedule(): void {
    this.#timer ??= setTimeout(
      () => {
        this.#timer = undefined;
        void this.flush();
      },
      this.#options.flushMs * (this.#away ? 5 : 1),
    );
  }

  async #write(batch: (EgressRecord & { id: string })[]): Promise<void> {
    const byOrganization = Map.groupBy(batch, ({ organizationId }) => organizationId);
    for (const [organizationId, rows] of byOrganization) {
      try {
        await this.#options.write(organizationId, rows);
        this.#away = false;
      } catch (error) {
        this.#failed(rows, error);
      }
    }
    if (this.#waiting.length > 0) this.#schedule();
  }

  #failed(rows: (EgressRecord & { id: string })[], error: unknown): void {
    const code = sqlState(error);
    if (code && /^2[23]/.test(code)) {
      // The data itself is refused (its organization is gone): it will not be taken later either.
      this.#options.logger.warn({ code, rows: rows.length }, 'Egress records were refused by the database.');
      return;
    }
    if (!this.#away) {
      this.#options.logger.warn({ err: error }, 'Egress records wait: the database does not take them now.');
    }
    this.#away = true;
    this.#waiting.unshift(...rows);
  }
}

function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: Postgres takes no NUL, and a log reader no others.
  return text.replace(/[\u0000-\u001f\u007f]/g, '?');
}

/** Drizzle wraps the driver's error. */
function sqlState(error: unknown): string | undefined {
  for (let at = error; at instanceof Error; at = at.cause) {
    const { code } = at as { code?: unknown };
    if (typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code)) return code;
  }
  return undefined;
}

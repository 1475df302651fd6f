import type { Logger } from 'pino';
import type { EgressDecision } from '../../store/schema.ts';
import type { NewEvent } from '../../store/session-events.ts';
import { sqlErrorOf } from '../../store/sql-error.ts';
import type { ModelUsage } from './model-usage.ts';
import { SessionNotes } from './session-notes.ts';

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
  /** Of a refusal: what the agent was told. Goes into the session's log, not into the records. */
  message?: string;
  /** What it adds to its session's log; the recorder's to say. */
  events?: readonly NewEvent[];
  /** Of the first of a group: the group's, given when it is first written. */
  groupId?: string;
}

/** Writes a batch; the database's in production. */
export type WriteRecords = (records: readonly EgressRecord[]) => Promise<void>;

export interface RecorderOptions {
  write: WriteRecords;
  logger: Logger;
  flushMs?: number;
  /** For what stands in a session's log, where somebody may be reading along. */
  eventFlushMs?: number;
  maxBatch?: number;
  /** With more than this waiting, nothing is let through any more. */
  maxWaiting?: number;
}

/** What has gathered while the database was busy is written together. */
const maxAtOnce = 250;
const maxPathLength = 2_048;
const maxWordLength = 128;
/** Of Postgres' `integer`. */
const maxInteger = 2 ** 31 - 1;

/**
 * Collects records and writes them in batches, off the request's path. While the database is away they wait; when
 * too many do, `full` says so, and the proxy lets nothing through that it could not record.
 */
export class Recorder {
  readonly #options: Required<RecorderOptions>;
  #waiting: EgressRecord[] = [];
  /** Batches that the database did not take, or took without being able to say so: written again as they were. */
  #again: EgressRecord[][] = [];
  readonly #notes = new SessionNotes();
  #timer: NodeJS.Timeout | undefined;
  #timerIsSoon = false;
  #writing: Promise<void> | undefined;
  /** The database did not take the last batch. */
  #away = false;

  constructor(options: RecorderOptions) {
    this.#options = { flushMs: 200, eventFlushMs: 20, maxBatch: 250, maxWaiting: 50_000, ...options };
  }

  get full(): boolean {
    return this.#count >= this.#options.maxWaiting;
  }

  get #count(): number {
    return this.#again.reduce((sum, { length }) => sum + length, this.#waiting.length);
  }

  /** Takes a record, which is the recorder's from then on. */
  add(record: EgressRecord): void {
    clean(record);
    const events = this.#notes.eventsFor(record);
    if (events.length > 0) record.events = events;
    this.#waiting.push(record);
    if (this.#away || this.#waiting.length < this.#options.maxBatch) this.#schedule(events.length > 0);
    // What comes while a batch is written goes with the next.
    else if (!this.#writing) void this.flush();
  }

  /** Writes what waits. Resolves when it is written or the database refused; never rejects. */
  async flush(): Promise<void> {
    while (this.#writing) await this.#writing;
    if (this.#count === 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#write(this.#again.shift() ?? this.#waiting.splice(0, maxAtOnce)).finally(() => {
      this.#writing = undefined;
    });
    await this.#writing;
  }

  /** Writes all that is left; gives up on what cannot be written. */
  async stop(): Promise<void> {
    for (let before = -1; this.#count > 0 && this.#count !== before; ) {
      before = this.#count;
      await this.flush();
    }
    clearTimeout(this.#timer);
    if (this.#count > 0) {
      this.#options.logger.error({ lost: this.#count }, 'Egress records could not be written.');
    }
  }

  #schedule(isSoon = false): void {
    if (isSoon && !this.#timerIsSoon && !this.#away) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
    if (this.#timer) return;
    const { flushMs, eventFlushMs, maxBatch } = this.#options;
    this.#timerIsSoon = isSoon;
    const isMuch = this.#count >= maxBatch;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        void this.flush();
      },
      this.#away ? flushMs * 5 : isMuch ? 0 : isSoon ? Math.min(flushMs, eventFlushMs) : flushMs,
    );
  }

  async #write(batch: EgressRecord[]): Promise<void> {
    const left = [batch];
    for (let rows = left.shift(); rows; rows = left.shift()) {
      try {
        await this.#options.write(rows);
        this.#away = false;
      } catch (error) {
        const code = sqlErrorOf(error)?.code;
        // What the database refuses for what it is will not be taken later either.
        if (!code || !/^2[23]/.test(code)) {
          this.#failed(error);
          // In their order: what may have been stored has its place in a chain, and what follows it comes after.
          this.#again.unshift(rows, ...left);
          break;
        }
        // One that cannot be stored takes no other with it.
        const half = rows.length >> 1;
        if (half > 0) left.unshift(rows.slice(0, half), rows.slice(half));
        else this.#options.logger.warn({ code }, 'An egress record was refused by the database.');
      }
    }
    if (this.#count > 0) this.#schedule();
  }

  #failed(error: unknown): void {
    if (!this.#away) {
      this.#options.logger.warn({ err: error }, 'Egress records wait: the database does not take them now.');
    }
    this.#away = true;
  }
}

/** Leaves what a log and the database take; nearly always that is all of it. */
function clean(record: EgressRecord): void {
  record.method = printable(record.method, 32);
  record.host = printable(record.host, 255);
  record.path = printable(record.path, maxPathLength);
  // A clock may be set while a request is under way, and an answer can go on for weeks.
  record.durationMs = Math.min(Math.max(0, record.durationMs), maxInteger);
  const { usage } = record;
  if (!usage) return;
  record.usage = {
    ...usage,
    inputTokens: counted(usage.inputTokens),
    outputTokens: counted(usage.outputTokens),
    cachedTokens: counted(usage.cachedTokens),
    writtenTokens: counted(usage.writtenTokens),
    model: usage.model && printable(usage.model, maxWordLength),
    stopReason: usage.stopReason && printable(usage.stopReason, maxWordLength),
  };
}

/** An upstream may claim what it likes: a number that the table does not hold would lose the record. */
const counted = (tokens: number | null): number | null => tokens && Math.min(tokens, maxInteger);

const isPlain = /^[ -~]*$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: Postgres takes no NUL, and a log reader no others.
const unprintable = /[\u0000-\u001f\u007f]/g;

/** Half of a surrogate pair is no text for Postgres either. */
function printable(text: string, maxLength: number): string {
  const short = text.length > maxLength ? text.slice(0, maxLength) : text;
  return isPlain.test(short) ? short : short.toWellFormed().replace(unprintable, '?');
}

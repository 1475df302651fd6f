import { getTableColumns, sql } from 'drizzle-orm';
import type { Database, Transaction } from '../store/connection.ts';
import { egressRecords } from '../store/schema.ts';
import { deriveRecordKey, type RootKeys, readableKeys } from './keys.ts';
import { type ChainedRecords, type ChainFault, ChainReader, recordKeyOf } from './record-chain.ts';

/** What the records of all organizations look like. */
export interface RecordsFound {
  /** Requests in rows that are as they were sealed. */
  requests: number;
  chains: number;
  /** Rows in no chain: written before there was one, or by somebody else. */
  unsealed: number;
  /** Rows that no key of ours sealed. */
  foreign: number;
  /** The first of what is wrong, with whose it is. */
  faults: (ChainFault & { organizationId: string })[];
  faultCount: number;
}

/** Few: with long paths a row has half a megabyte. */
const rowsAtOnce = 100;
const shownFaults = 20;

/**
 * Reads every record, as the owner of the database, and tells whether each is as the egress process sealed it and
 * nothing is gone between them. Reads only. Rejects when the database does.
 */
export async function verifyRecords(database: Database, rootKeys: RootKeys): Promise<RecordsFound> {
  const keys = readableKeys(rootKeys).map((key) => recordKeyOf(deriveRecordKey(key)));
  const found: RecordsFound = { requests: 0, chains: 0, unsealed: 0, foreign: 0, faults: [], faultCount: 0 };
  let reader = new ChainReader(keys);
  let chainBefore: string | undefined;
  await database.transaction(
    async (tx) => {
      for await (const row of inChains(tx)) {
        const { chain, number, seal, organizationId } = row;
        if (chain === null || number === null || seal === null) {
          found.unsealed += 1;
          continue;
        }
        if (chain !== chainBefore) {
          found.chains += 1;
          chainBefore = chain;
          reader = new ChainReader(keys);
        }
        const read = reader.read({ ...row, chain, number, seal });
        if (read === 'right') found.requests += row.paths.length;
        else if (read === 'foreign') found.foreign += 1;
        else if (found.faultCount++ < shownFaults) found.faults.push({ ...read, organizationId });
      }
    },
    { accessMode: 'read only', isolationLevel: 'repeatable read' },
  );
  return found;
}

const columns = Object.entries(getTableColumns(egressRecords));

async function* inChains(tx: Transaction): AsyncGenerator<ChainedRecords> {
  await tx.execute(
    sql`declare records no scroll cursor for select * from ${egressRecords} order by chain, number`,
  );
  for (;;) {
    const { rows } = await tx.execute(sql.raw(`fetch ${rowsAtOnce} from records`));
    for (const row of rows) {
      const read = columns.map(([name, column]) => {
        const value = row[column.name];
        return [name, value === null ? null : column.mapFromDriverValue(value)];
      });
      yield Object.fromEntries(read) as ChainedRecords;
    }
    if (rows.length < rowsAtOnce) return;
  }
}

import type { Config } from '../config.ts';
import { findHome } from '../store/home.ts';
import type { ChainFault } from '../vault/record-chain.ts';
import { type RecordsFound, verifyRecords } from '../vault/record-verification.ts';
import { loadPreviousRootKey, loadRootKey } from '../vault/root-key.ts';
import { withRunningDatabase } from './running-database.ts';

/** `verify-records` found a record that is not as it was written. */
const brokenExitCode = 5;

/** Tells whether all records of requests are as they were written. Answers 0, 5 when not, 1 when it could not look. */
export function verify(config: Config): Promise<number> {
  return withRunningDatabase(config, async (database) => {
    const home = findHome(config.home);
    const key = config.rootKey ?? (home && loadRootKey(home, undefined, true));
    if (!key) {
      process.stderr.write('The root key is missing. Set TAGALONG_ROOT_KEY.\n');
      return 1;
    }
    const previous = config.previousRootKey ?? (home && loadPreviousRootKey(home, config));
    const found = await verifyRecords(database, previous ? [key, previous] : key);
    process.stdout.write(describeRecords(found));
    return found.faultCount === 0 ? 0 : brokenExitCode;
  });
}

const kinds: Record<ChainFault['kind'], string> = {
  changed: 'is not what was written',
  missing: 'follows on a gap: what was written before it is gone',
};

const counted = (count: number, what: string) => `${count} ${what}${count === 1 ? '' : 's'}`;

/** The finding in words. Pure. */
export function describeRecords(found: RecordsFound): string {
  const { requests, chains, unsealed, foreign, faults, faultCount } = found;
  const right = `${counted(requests, 'request')} in ${counted(chains, 'chain')}`;
  const lines =
    faultCount === 0
      ? [`✓ ${right}: all as they were written.`]
      : [`✗ ${right} as they were written, but ${counted(faultCount, 'row')} of egress_records not:`];
  for (const { id, organizationId, kind } of faults)
    lines.push(`✗ ${id} of ${organizationId} ${kinds[kind]}.`);
  if (faultCount > faults.length) lines.push(`✗ and ${faultCount - faults.length} more.`);
  if (foreign > 0)
    lines.push(
      `! Sealed with another key, under a root key that was replaced or not by Tagalong: ${counted(foreign, 'row')}.`,
    );
  if (unsealed > 0)
    lines.push(`! Without a seal, older than seals are or not from Tagalong: ${counted(unsealed, 'row')}.`);
  return `${lines.join('\n')}\n`;
}

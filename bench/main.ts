import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { measureAcknowledge } from './acknowledge.ts';
import { measureEgress } from './egress.ts';
import { measureFirstByte } from './first-byte.ts';
import { measureFlood } from './flood.ts';
import { measureMentions } from './mention.ts';
import { measurePrograms } from './programs.ts';
import { measureSandboxStart } from './sandbox.ts';
import { measureSessions } from './sessions.ts';
import { printTable, type Row } from './table.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    'duration-ms': { type: 'string', default: '3000' },
    'mention-rounds': { type: 'string', default: '15' },
    sessions: { type: 'string', default: '200' },
    /** One part of the table only. */
    only: { type: 'string', default: '' },
    /** Where V8's profile of the egress process is written to. */
    'profile-folder': { type: 'string' },
    /** Of the egress part, only what holds this text in its name. */
    match: { type: 'string', default: '' },
  },
});

console.log(
  `${new Date().toISOString()} · Node ${process.versions.node} · ${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown processor'}\n`,
);
const rounds = Number(values.rounds);
const mentionRounds = Number(values['mention-rounds']);
const durationMs = Number(values['duration-ms']);
const parts: Record<string, () => Promise<Row[]>> = {
  acknowledge: () =>
    measureAcknowledge({ connections: [1, 32, 128], steadyPerSecond: 500, rounds, durationMs }),
  mention: () => measureMentions(mentionRounds),
  sandbox: () => measureSandboxStart(mentionRounds),
  programs: () => measurePrograms(rounds),
  egress: () =>
    measureEgress({ rounds, durationMs, profileFolder: values['profile-folder'], match: values.match }),
  flood: () => measureFlood(rounds, durationMs),
  'first-byte': () => measureFirstByte(mentionRounds),
  sessions: () => measureSessions(Number(values.sessions)),
};
for (const [name, measure] of Object.entries(parts)) {
  if (values.only !== '' && values.only !== name) continue;
  printTable(await measure());
  console.log();
}

import { availableParallelism, cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { measureAcknowledge } from './acknowledge.ts';
import { measureMentions } from './mention.ts';
import { measureSandboxStart } from './sandbox.ts';
import { printTable, type Row } from './table.ts';

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    'duration-ms': { type: 'string', default: '3000' },
    'mention-rounds': { type: 'string', default: '15' },
  },
});

console.log(
  `${new Date().toISOString()} · Node ${process.versions.node} · ${availableParallelism()} × ${cpus()[0]?.model ?? 'unknown processor'}\n`,
);
const rows: Row[] = await measureAcknowledge({
  connections: [1, 32, 128],
  steadyPerSecond: 500,
  rounds: Number(values.rounds),
  durationMs: Number(values['duration-ms']),
});
printTable(rows);
console.log();
const mentionRounds = Number(values['mention-rounds']);
printTable([...(await measureMentions(mentionRounds)), ...(await measureSandboxStart(mentionRounds))]);

import { readdirSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

const steps = 10;
const leastPriority = 19;

/**
 * Lets this process's other threads come after the one that serves: with few processors, V8's collecting of garbage in
 * the background takes the loop's own, for some 25 ms at a time. Call it at the start: threads that come later, as
 * libuv's for files and signatures, keep the priority of the process. Where there is no `/proc`, nothing is done.
 */
export function lowerBackgroundThreads(): void {
  for (const id of threads()) {
    if (id === process.pid) continue;
    try {
      setPriority(id, Math.min(leastPriority, getPriority(id) + steps));
    } catch {
      // Ended meanwhile.
    }
  }
}

function threads(): number[] {
  try {
    return readdirSync('/proc/self/task').map(Number);
  } catch {
    return [];
  }
}

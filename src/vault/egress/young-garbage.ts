/** As much as a young collection frees for about the time that reading 100 KiB takes. */
const everyBytes = 4 * 1024 * 1024;
let sinceBytes = 0;

/**
 * Told of each piece of a body that goes by. Its bytes lie outside V8's heap, where V8 looks only when there are many
 * megabytes of them, and then goes through all of the heap: at some hundred MiB/s a third of the time, with a hundred MiB
 * of garbage. Collecting what is young (`--expose-gc`) now and then takes a hundredth, and leaves it nothing to do.
 */
export function passedBy(bytes: number): void {
  sinceBytes += bytes;
  if (sinceBytes < everyBytes) return;
  sinceBytes = 0;
  globalThis.gc?.({ type: 'minor' });
}

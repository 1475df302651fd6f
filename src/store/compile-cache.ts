import { enableCompileCache } from 'node:module';
import { fileURLToPath } from 'node:url';

/** What a process of ours is started with so that this module runs before its program is loaded. */
export const compileCacheArguments = ['--import', import.meta.url];

// Ours and not the system's temporary folder, where others could leave code for us. Without it, starting takes longer.
enableCompileCache(fileURLToPath(new URL('../../node_modules/.cache/tagalong', import.meta.url)));

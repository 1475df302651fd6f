import type { AgentTool } from '../tool.ts';
import { bash } from './bash.ts';
import { edit, read, write } from './files.ts';
import { glob, grep } from './search.ts';

/** The tools of our own, in the order in which the model sees them. */
export const ownTools: readonly AgentTool[] = [bash, read, write, edit, glob, grep];

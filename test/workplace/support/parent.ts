import { startWorkplaceProcess } from '../../../src/workplace/client.ts';

// A server that is killed in the middle of its work.
const { pid, apiUrl, apiSecret } = await startWorkplaceProcess({ folder: process.argv[2] ?? '' });
process.send?.({ pid, apiUrl, apiSecret });

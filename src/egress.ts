import { gitRequest, refUpdateNeed } from './providers/github/git.ts';
import { requestNeed as githubRequestNeed } from './providers/github/requests.ts';
import { writersIn } from './providers/github/written.ts';
import { runEgressProcess } from './vault/egress/egress-process.ts';

// Composition root of the egress process: what the providers know of requests is given to a vault that knows no provider.
runEgressProcess(
  { github: githubRequestNeed },
  { github: writersIn },
  { request: gitRequest, update: refUpdateNeed },
);

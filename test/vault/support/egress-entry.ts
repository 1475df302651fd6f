import { runEgressProcess } from '../../../src/vault/egress/egress-process.ts';

runEgressProcess(
  { github: () => ({ ok: true, capability: 'github:issue.read', repository: 'acme/widgets' }) },
  {},
);

import type { Grant, ProviderName } from '../store/schema.ts';
import type { Grants } from './capability.ts';
import { requiredScopes } from './scopes.ts';
import { capabilityTables } from './tables.ts';

const reach: Readonly<Record<Grant, number>> = { off: 0, ask: 1, on: 2 };

/** One capability that would reach further than now. */
export interface GrownCapability {
  name: string;
  from: Grant;
  to: Grant;
}

export interface Growth {
  capabilities: GrownCapability[];
  /** What the provider would be asked for beside what it is asked for now. */
  scopes: string[];
}

/** What would grow, were `wanted` in force in the place of `current`. Pure. */
export function growthOf(provider: ProviderName, current: Grants, wanted: Grants): Growth {
  const capabilities = Object.entries(capabilityTables[provider]).flatMap(([name, usual]) => {
    const [from, to] = [current[name] ?? usual, wanted[name] ?? usual];
    return reach[to] > reach[from] ? [{ name, from, to }] : [];
  });
  const known = new Set(requiredScopes(provider, current));
  return { capabilities, scopes: requiredScopes(provider, wanted).filter((scope) => !known.has(scope)) };
}

/** Of two sets of grants the narrower one, capability by capability, as deviations from the defaults. Pure. */
export function narrower(provider: ProviderName, current: Grants, wanted: Grants): Record<string, Grant> {
  const kept = Object.entries(capabilityTables[provider]).flatMap(([name, usual]) => {
    const [from, to] = [current[name] ?? usual, wanted[name] ?? usual];
    const grant = reach[to] < reach[from] ? to : from;
    return grant === usual ? [] : [[name, grant] as const];
  });
  return Object.fromEntries(kept);
}

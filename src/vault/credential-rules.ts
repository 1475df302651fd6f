import { parseHostPattern } from './egress/host-names.ts';
import { isAtOrBelow, parsePathPrefix } from './path-prefix.ts';

/** To which requests a credential is put on. Always https on port 443. */
export interface CredentialRule {
  /** Canonical; with `oneBelow` every name with exactly one more label before it, and not itself. */
  host: string;
  oneBelow: boolean;
  /** Decided by whole segments; none for every path. */
  segments: readonly string[];
  /** Upper case; null for all. */
  methods: readonly string[] | null;
}

/** As it is stored and shown. */
export interface CredentialRuleText {
  host: string;
  path_prefix: string;
  methods: string[] | null;
}

/** A request as a rule sees it: host canonical, path as sent and without its query. */
export interface MatchedRequest {
  method: string;
  host: string;
  path: string;
}

/** Reads a rule; undefined for one that cannot be understood, which then stands for no request. */
export function parseCredentialRule(text: CredentialRuleText): CredentialRule | undefined {
  const pattern = parseHostPattern(text.host);
  const segments = parsePathPrefix(text.path_prefix);
  if (!pattern || !segments) return undefined;
  const methods = text.methods?.map((method) => method.toUpperCase()) ?? null;
  if (methods && (methods.length === 0 || methods.some((method) => !/^[A-Z]{1,20}$/.test(method)))) {
    return undefined;
  }
  return {
    host: pattern.name,
    oneBelow: pattern.kind === 'below',
    segments,
    methods,
  };
}

/** The rule for a URL that a credential is for: its host, and everything at and below its path. */
export function ruleForUrl(url: URL): CredentialRuleText | undefined {
  const host = parseHostPattern(url.hostname);
  if (url.protocol !== 'https:' || url.port || url.username || url.password || !host) return undefined;
  return { host: host.name, path_prefix: url.pathname, methods: null };
}

/** Whether a rule stands for a request. */
export function ruleMatches(rule: CredentialRule, request: MatchedRequest): boolean {
  if (rule.oneBelow) {
    const dot = request.host.indexOf('.');
    if (dot <= 0 || request.host.slice(dot + 1) !== rule.host) return false;
  } else if (request.host !== rule.host) return false;
  if (rule.methods && !rule.methods.includes(request.method)) return false;
  return isAtOrBelow(rule.segments, request.path);
}

/** Negative when `a` says more than `b`: an exact host, then a longer path, then named methods. */
export function compareRules(a: CredentialRule, b: CredentialRule): number {
  return (
    Number(a.oneBelow) - Number(b.oneBelow) ||
    b.segments.length - a.segments.length ||
    Number(a.methods === null) - Number(b.methods === null)
  );
}

/** Whether there is a request for which both stand and neither says more: such two are refused when they are set. */
export function rulesTie(a: CredentialRule, b: CredentialRule): boolean {
  return (
    compareRules(a, b) === 0 &&
    a.host === b.host &&
    a.segments.every((segment, i) => segment === b.segments[i]) &&
    (a.methods === null || a.methods.some((method) => b.methods?.includes(method)))
  );
}

/** The one that says most of those that stand for a request; of equals the first, as their vaults are listed. */
export function mostSpecific<T extends { rule: CredentialRule | undefined }>(
  candidates: readonly T[],
  request: MatchedRequest,
): T | undefined {
  let best: T | undefined;
  for (const candidate of candidates) {
    if (!candidate.rule || !ruleMatches(candidate.rule, request)) continue;
    if (!best?.rule || compareRules(candidate.rule, best.rule) < 0) best = candidate;
  }
  return best;
}

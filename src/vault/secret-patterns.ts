/** What credentials look like, whoever's they are. What we hold ourselves is looked for by its exact value elsewhere. */
export const secretPatterns: readonly RegExp[] = [
  /-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)/g,
  /\bxox[a-z](?:\.xox[a-z])?-[\w-]{8,}/g,
  /\bxapp-[\w-]{8,}/g,
  /\b(?:gh[opsur]|github_pat)_\w{16,}/g,
  /\blin_(?:api|oauth)_\w{8,}/g,
  /\bsk-[\w-]{16,}/g,
  /\b(?:AKIA|ASIA)[A-Z0-9]{16}\b/g,
  /\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}/g,
  /\b(?:bearer|token|password|passwd|secret|api[_-]?key)\b(?:\s+is)?["']?\s*[:=]?\s*["']?[\w./+~-]{20,}=*/gi,
];

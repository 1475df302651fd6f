/** Paths and names inside a sandbox; the same in every one. */
export const inside = {
  workspace: '/workspace',
  home: '/home/agent',
  /** Program bundles and what we put beside them, read-only. */
  programs: '/opt/tagalong',
  /** The settings of the agent program, read-only. */
  settings: '/opt/tagalong/settings',
  nodeFolder: '/opt/tagalong/node',
  node: '/opt/tagalong/node/node',
  /** The public roots and the session's CA: where clients look for it, and where it is. */
  caBundle: '/etc/ssl/certs/ca-certificates.crt',
  caBundleFile: '/opt/tagalong/trust/ca-bundle.pem',
  /** What the session trusts, read-only. */
  trust: '/opt/tagalong/trust',
  /** The session's CA alone, for what adds to its own roots instead of replacing them. */
  sessionCa: '/opt/tagalong/trust/session-ca.pem',
  /** The same as the bundle, as Java wants it. */
  javaTrust: '/opt/tagalong/trust/java-trust.jks',
  user: 'agent',
  uid: 1000,
  hostname: 'sandbox',
  proxyPort: 3128,
} as const;

/**
 * The public registries from which package managers install, and whose each host is. They are read only: nothing is
 * published, logged into or reported by way of `allow_package_managers`.
 */
export const packageHosts: ReadonlyMap<string, string> = new Map([
  ['registry.npmjs.org', 'npm'],
  ['registry.yarnpkg.com', 'npm'],
  ['pypi.org', 'pip'],
  ['files.pythonhosted.org', 'pip'],
  ['index.crates.io', 'cargo'],
  ['static.crates.io', 'cargo'],
  ['crates.io', 'cargo'],
  ['rubygems.org', 'gem'],
  ['index.rubygems.org', 'gem'],
  ['proxy.golang.org', 'go'],
  ['sum.golang.org', 'go'],
  ['deb.debian.org', 'apt'],
  ['security.debian.org', 'apt'],
  ['archive.ubuntu.com', 'apt'],
  ['security.ubuntu.com', 'apt'],
  ['repo.maven.apache.org', 'maven'],
  ['repo1.maven.org', 'maven'],
]);

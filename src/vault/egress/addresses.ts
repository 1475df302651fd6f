import { BlockList, isIPv4, isIPv6 } from 'node:net';

/**
 * IANA's special-purpose IPv4 addresses, multicast and reserved space, and Azure's WireServer (168.63.129.16), which
 * is public by number and metadata by nature.
 */
const special4 = new BlockList();
for (const [network, prefix] of [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.31.196.0', 24],
  ['192.52.193.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['192.175.48.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  ['168.63.129.16', 32],
] as const) {
  special4.addSubnet(network, prefix, 'ipv4');
}

/** Global unicast, 2000::/3. Everything else in IPv6 is special: mapped, NAT64, unique local, link-local, multicast. */
const global6 = new BlockList();
global6.addSubnet('2000::', 3, 'ipv6');
/** Special inside 2000::/3: Teredo and other protocol space, documentation, 6to4, AS112. */
const special6 = new BlockList();
for (const [network, prefix] of [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
  ['2620:4f:8000::', 48],
] as const) {
  special6.addSubnet(network, prefix, 'ipv6');
}

/** Whether an address, as a resolver answered it, is public unicast. Anything but a plain address is not. */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !special4.check(address, 'ipv4');
  if (!isIPv6(address) || address.includes('%') || address.includes('.')) return false;
  return global6.check(address, 'ipv6') && !special6.check(address, 'ipv6');
}

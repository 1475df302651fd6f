import { readFileSync } from 'node:fs';

/** Numbers that follow from a seed, so that what failed can be had again. */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0 || 1;
  }

  /** A whole number below `end` (mulberry32). */
  below(end: number): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % end;
  }

  of<T>(values: readonly T[]): T {
    const value = values[this.below(values.length)];
    if (value === undefined) throw new Error('There is nothing to choose from.');
    return value;
  }

  bytes(length: number): string {
    return Array.from({ length }, () => String.fromCharCode(this.below(256))).join('');
  }
}

/** What an agent sends for itself; it must arrive nowhere under a name that says who asks. */
export const agentSecret = 'agent-made-this-up';

const corpus = (
  JSON.parse(readFileSync(new URL('../data/http1-corpus.json', import.meta.url), 'utf8')) as {
    raw_latin1_b64: string;
  }[]
).map(({ raw_latin1_b64 }) => Buffer.from(raw_latin1_b64, 'base64').toString('latin1'));

const proper = [
  'GET /a?b=c HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {SECRET}\r\n\r\n',
  'HEAD / HTTP/1.1\r\nHost: {HOST}\r\nX-Api-Key: {SECRET}\r\nConnection: close\r\n\r\n',
  'POST /b HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 40\r\n\r\nGET /inner HTTP/1.1\r\nHost: evil.test\r\n\r\n',
  'POST /c HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\nCookie: a={SECRET}\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
  'PUT /d HTTP/1.1\r\nHost: {HOST}\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc',
  'GET /e HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n',
  'GET /1 HTTP/1.1\r\nHost: {HOST}\r\n\r\nGET /2 HTTP/1.1\r\nHost: {HOST}\r\nProxy-Authorization: {SECRET}\r\n\r\n',
];

const lines = [
  'Host: evil.test',
  'Host: {HOST}',
  'host:{HOST}:80',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: identity, chunked',
  'Transfer-Encoding:\x0bchunked',
  'Transfer_Encoding: chunked',
  'Content-Length: 5',
  'Content-Length: +5',
  'Content-Length: 0x5',
  'Content-Length: 99999999999999999999',
  'Connection: Upgrade, HTTP2-Settings',
  'Upgrade: h2c',
  'Expect: 200-ok',
  'Authorization: Basic {SECRET}',
  'X_Api_Key: {SECRET}',
  'X-Tagalong-Session: sesn_other',
  ' folded: line',
  'No colon at all',
  ': no name',
  'Trailer: Authorization',
  'TE: trailers',
];
const tokens = [
  '\r',
  '\n',
  '\r\n',
  '\0',
  ' ',
  '\t',
  ':',
  '\x0b',
  '\xa0',
  '/',
  '..',
  '%2e',
  '\\',
  '#',
  '@',
  ',',
];

const mutations: readonly ((text: string, chance: Chance) => string)[] = [
  (text, chance) => insert(text, chance.below(text.length + 1), chance.of(tokens)),
  (text, chance) => insert(text, chance.below(text.length + 1), chance.bytes(1 + chance.below(4))),
  (text, chance) => {
    const at = chance.below(text.length + 1);
    return text.slice(0, at) + text.slice(at + 1 + chance.below(8));
  },
  (text, chance) => text.slice(0, chance.below(text.length + 1)),
  (text, chance) => insert(text, text.indexOf('\r\n') + 2, `${chance.of(lines)}\r\n`),
  (text, chance) => insert(text, text.indexOf('\r\n\r\n') + 2, `${chance.of(lines)}\r\n`),
  (text) => text.replace(/\r\n/, '\n'),
  (text) => text.replaceAll('\r\n', '\n'),
  (text, chance) =>
    text.replace(/\d+/, () =>
      chance.of(['0', '-1', '00005', '5 5', '4294967296', '1e3', 'fffffffffffffffff', '']),
    ),
  (text, chance) =>
    text.replace(/HTTP\/1\.1/, chance.of(['HTTP/1.0', 'HTTP/2.0', 'HTTP/0.9', 'http/1.1', 'HTTP/1.1 ', ''])),
  (text, chance) => text.replace(/^\S+/, chance.of(['TRACE', 'CONNECT', 'PRI', 'G ET', 'get', 'MKCOL', ''])),
  (text, chance) =>
    text.replace(
      / \S+/,
      ` ${chance.of(['*', '//x', 'http://evil.test/', '/a/../b', '/%00', '/\xff', '?', ''])}`,
    ),
  (text, chance) => `${text}${chance.of(proper)}`,
  (text, chance) => insert(text, text.indexOf('\r\n') + 2, `X-Long: ${'a'.repeat(chance.below(20_000))}\r\n`),
  (text, chance) => insert(text, text.indexOf('\r\n') + 2, 'X: y\r\n'.repeat(chance.below(400))),
];

function insert(text: string, at: number, what: string): string {
  return text.slice(0, at) + what + text.slice(at);
}

/** A request for this host that is wrong in one way or several; now and then right, now and then only bytes. */
export function malformedRequest(chance: Chance, host: string): string {
  if (chance.below(50) === 0) return chance.bytes(chance.below(600));
  let text = chance.below(4) === 0 ? chance.of(corpus) : chance.of(proper);
  for (let left = 1 + chance.below(4); left > 0; left--) text = chance.of(mutations)(text, chance);
  return text.replaceAll('{HOST}', host).replaceAll('{SECRET}', agentSecret);
}

/** A TLS client hello (RFC 8446, section 4.1.2) for a name, with bytes of it changed, cut or put in. */
export function malformedHello(chance: Chance, host: string): string {
  const name = Buffer.from(host);
  const u16 = (value: number) => [value >> 8, value & 0xff];
  const list = [0, ...u16(name.length), ...name];
  const sni = [0, 0, ...u16(list.length + 2), ...u16(list.length), ...list];
  const versions = [0, 43, 0, 3, 2, 3, 4];
  const extensions = [...sni, ...versions];
  const body = [
    3,
    3,
    ...Buffer.alloc(32, 7),
    0,
    0,
    2,
    0x13,
    0x01,
    1,
    0,
    ...u16(extensions.length),
    ...extensions,
  ];
  const handshake = [1, 0, ...u16(body.length), ...body];
  let text = Buffer.from([22, 3, 1, ...u16(handshake.length), ...handshake]).toString('latin1');
  for (let left = 1 + chance.below(3); left > 0; left--) {
    const at = chance.below(text.length);
    const change = chance.below(3);
    if (change === 0) text = insert(text, at, chance.bytes(1 + chance.below(40)));
    else if (change === 1) text = text.slice(0, at) + text.slice(at + 1 + chance.below(20));
    else text = text.slice(0, at) + chance.bytes(1) + text.slice(at + 1);
  }
  return text;
}

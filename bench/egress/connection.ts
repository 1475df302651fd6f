import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls';

/** How a peer is entered: by CONNECT at a proxy, or by TLS at once. */
export interface Door {
  port: number;
  connect: boolean;
  /** PEM of the authority whose certificate is expected inside. */
  ca: string;
}

const contexts = new Map<string, SecureContext>();
const block = Buffer.alloc(256 * 1024, 'abcdefghijklmnopqrstuvwxyz0123456789');

/** One TLS connection on which one request after the other is asked, read with as little work as can be. */
export class Connection {
  readonly #socket: TLSSocket;
  #onData: (chunk: Buffer) => void = () => {};
  #onEnd: (error: Error) => void = () => {};
  /** The length of the last whole answer: the next one of a kind is as long. */
  #usual = 0;

  private constructor(socket: TLSSocket) {
    this.#socket = socket;
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
    socket.on('error', (error) => this.#onEnd(error));
    socket.on('close', () => this.#onEnd(new Error('The connection ended before the answer did.')));
  }

  static async open({ port, connect, ca }: Door, host: string): Promise<Connection> {
    const tcp = connectTcp({ port, host: '127.0.0.1', noDelay: true });
    if (connect) await enterTunnel(tcp, host);
    let secureContext = contexts.get(ca);
    if (!secureContext) {
      secureContext = createSecureContext({ ca });
      contexts.set(ca, secureContext);
    }
    const options = { socket: tcp, servername: host, secureContext };
    return new Promise((resolve, reject) => {
      const gone = () => reject(new Error('The connection ended before TLS was agreed on.'));
      const secure: TLSSocket = connectTls(options, () => {
        secure.off('error', reject);
        secure.off('close', gone);
        resolve(new Connection(secure));
      });
      secure.once('error', reject);
      secure.once('close', gone);
    });
  }

  /** Sends a request and reads its answer; gives the status. */
  ask(request: Buffer): Promise<number> {
    const answer = this.#answer();
    this.#socket.write(request);
    return answer;
  }

  /** Sends a request with a body of so many bytes, as fast as they are taken. */
  upload(head: Buffer, bytes: number): Promise<number> {
    const answer = this.#answer();
    this.#socket.write(head);
    let left = bytes;
    const more = () => {
      while (left > 0) {
        const piece = block.subarray(0, Math.min(left, block.length));
        left -= piece.length;
        if (!this.#socket.write(piece)) return void this.#socket.once('drain', more);
      }
    };
    more();
    return answer;
  }

  /** Reads events that hold the clock at their sending; gives how late each came, in microseconds. */
  events(request: Buffer, count: number): Promise<number[]> {
    return new Promise((resolve, reject) => {
      const delays: number[] = [];
      this.#onEnd = reject;
      this.#onData = (chunk) => {
        const now = process.hrtime.bigint();
        for (const [, sent = '0'] of chunk.toString('latin1').matchAll(/data: (\d+)\n/g))
          delays.push(Number(now - BigInt(sent)) / 1000);
        if (delays.length >= count) resolve(delays);
      };
      this.#socket.write(request);
    });
  }

  close(): void {
    this.#onEnd = () => {};
    this.#socket.destroy();
  }

  #answer(): Promise<number> {
    return new Promise((resolve, reject) => {
      let held: Buffer | undefined;
      let total = 0;
      let got = 0;
      let status = 0;
      const done = () => {
        this.#usual = total;
        resolve(status);
      };
      this.#onEnd = reject;
      this.#onData = (chunk) => {
        if (total > 0) {
          got += chunk.length;
          if (got >= total) done();
          return;
        }
        // "HTTP/1.1 200": as long as the last, and of the same status.
        if (!held && chunk.length === this.#usual && chunk[9] === 50 && chunk[11] === 48) {
          status = 200;
          total = this.#usual;
          return done();
        }
        held = held ? Buffer.concat([held, chunk]) : chunk;
        const text = held.toString('latin1');
        const end = text.indexOf('\r\n\r\n');
        if (end < 0) return;
        status = Number(text.slice(9, 12));
        const length = /\r\ncontent-length: *(\d+)/i.exec(text.slice(0, end));
        if (!length) {
          if (text.endsWith('0\r\n\r\n')) resolve(status);
          return;
        }
        total = end + 4 + Number(length[1]);
        got = held.length;
        held = undefined;
        if (got >= total) done();
      };
    });
  }
}

function enterTunnel(tcp: Socket, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const gone = () => reject(new Error('The proxy ended the connection without a word.'));
    tcp.once('error', reject);
    tcp.once('close', gone);
    tcp.once('data', (chunk: Buffer) => {
      tcp.off('error', reject);
      tcp.off('close', gone);
      const answer = chunk.toString('latin1');
      if (answer.startsWith('HTTP/1.1 200')) resolve();
      else reject(new Error(`CONNECT was answered: ${answer.slice(0, 300)}`));
    });
    tcp.write(`CONNECT ${host}:443 HTTP/1.1\r\nHost: ${host}:443\r\n\r\n`);
  });
}

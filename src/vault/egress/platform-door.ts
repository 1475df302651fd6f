import { rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { OpenCredential } from '../credential-store.ts';
import { appJwt, hasInstallation, wantsAppJwt } from '../github-app.ts';
import { unmapped } from './asking.ts';
import { incomingBody } from './bodies.ts';
import { forwardedRequestHeaders, isHeaderValue, withHeader } from './header-rules.ts';
import {
  answerRefusal,
  type EgressParts,
  type RecordStart,
  recordRefusal,
  requireRecorder,
} from './parts.ts';
import { type Passage, passOn } from './pass-on.ts';
import { formSecrets } from './platform-forms.ts';
import type { PlatformPools } from './platform-pools.ts';
import { botPath, clientPaths, conversionPath, credentialHosts } from './platform-rules.ts';
import { privateHeaders } from './protocol.ts';
import { credentialRefusal, maxReplayBytes } from './provider-passage.ts';
import { failed, malformed, RefusedError, refuse } from './refusal.ts';
import { checkRequest, type GatedRequest } from './request-gate.ts';

/** The worker's own way to the vendors: a Unix socket that only this user can open. */
export class PlatformDoor {
  readonly #parts: EgressParts;
  readonly #pools: PlatformPools;
  readonly #server: Server;

  constructor(parts: EgressParts, pools: PlatformPools) {
    this.#parts = parts;
    this.#pools = pools;
    this.#server = createServer({ requestTimeout: 0, keepAliveTimeout: 60_000, maxHeaderSize: 64 * 1024 });
    const serve = (request: IncomingMessage, response: ServerResponse) => this.#serve(request, response);
    this.#server.on('request', serve);
    this.#server.on('checkContinue', serve);
  }

  /** Opens the socket, in the place of one that a killed process left. */
  listen(socketPath: string): Promise<void> {
    rmSync(socketPath, { force: true });
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      const before = process.umask(0o177);
      this.#server.listen(socketPath, resolve);
      process.umask(before);
    });
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts = this.#parts;
    const one = (name: string) => {
      const value = incoming.headers[name];
      return typeof value === 'string' ? value : '';
    };
    const principal = one(privateHeaders.installation);
    const target = one(privateHeaders.target);
    const url = URL.canParse(target) ? new URL(target) : undefined;
    const start: RecordStart = {
      organizationId: one(privateHeaders.organization),
      sessionId: null,
      installationId: principal.startsWith('inst_') ? principal : null,
      turnId: null,
      at: new Date(parts.now()),
      method: incoming.method ?? '',
      scheme: 'https',
      host: url?.hostname ?? '',
      port: 443,
      path: url?.pathname ?? '',
    };
    let credential: OpenCredential | undefined;
    try {
      if (url?.protocol !== 'https:' || url.port || url.username || url.password) {
        throw new RefusedError(malformed('platform.target', 'The target must be an absolute https URL.'));
      }
      const request = checkTarget(incoming, url, target);
      requireRecorder(parts);
      const { path } = request.target;
      if (url.hostname === 'api.github.com' && conversionPath.test(path)) {
        await this.#convert(start, principal, incoming, response, request);
        return;
      }
      const use = clientPaths[url.hostname]?.includes(path) ? 'client' : 'token';
      credential = await parts.credentials.find(start.organizationId, principal, use).catch(asRefused);
      const passage = await this.#passage(credential, incoming, response, url, request);
      await passOn(parts, start, this.#pools.for(credential), passage, response);
    } catch (error) {
      const refusal =
        error instanceof RefusedError
          ? error.refusal
          : failed('egress.error', 'The egress process failed.', 500);
      if (!(error instanceof RefusedError)) parts.logger.error({ err: error }, 'A platform request failed.');
      answerRefusal(response, refusal);
      if (start.organizationId) recordRefusal(parts, start, refusal, credential?.displayName);
    }
  }

  /** A made GitHub App's code goes out without any credential; it works once and for an hour. */
  async #convert(
    start: RecordStart,
    principal: string,
    incoming: IncomingMessage,
    response: ServerResponse,
    request: GatedRequest,
  ): Promise<void> {
    const parts = this.#parts;
    const { emulated } = await parts.credentials
      .publication(start.organizationId, principal)
      .catch(asRefused);
    const route = parts.rules.upstreams.route(start.host, request.target.path, emulated);
    if (!route) throw new RefusedError(unmapped(start.host));
    const body =
      request.body.kind === 'none'
        ? null
        : await incomingBody(incoming).readAll(maxReplayBytes, parts.budget);
    const passage: Passage = {
      rule: 'platform:conversion',
      credential: null,
      method: request.method,
      route,
      headers: forwardedRequestHeaders(incoming.rawHeaders),
      body,
    };
    // The code in the path is spent, but no record needs it.
    const recorded = { ...start, path: '/app-manifests/{code}/conversions' };
    await passOn(parts, recorded, this.#pools.for({ publicationId: principal }), passage, response);
  }

  async #passage(
    credential: OpenCredential,
    incoming: IncomingMessage,
    response: ServerResponse,
    url: URL,
    request: GatedRequest,
  ): Promise<Passage> {
    const parts = this.#parts;
    const host = url.hostname;
    if (!credentialHosts[credential.kind].includes(host)) {
      throw new RefusedError(
        refuse('platform.host', `The credential ${credential.displayName} is not for ${host}.`),
      );
    }
    const target = request.target.path + request.target.search;
    const route = parts.rules.upstreams.route(host, target, credential.emulated);
    if (!route) throw new RefusedError(unmapped(host));
    const source = incomingBody(incoming);
    const { body: framing } = request;
    if (framing.kind !== 'none' && request.expectsContinue) response.writeContinue();
    const kept: boolean =
      framing.kind === 'none' || (framing.kind === 'length' && framing.bytes <= maxReplayBytes);
    const body =
      framing.kind === 'none'
        ? null
        : kept
          ? await source.readAll(maxReplayBytes, parts.budget)
          : source.stream();
    const bare = forwardedRequestHeaders(incoming.rawHeaders);
    const { path } = request.target;
    const token = () => this.#token(credential, path);
    const form = await formSecrets(parts, credential, path, token).catch(asRefused);
    if (form) {
      if (!kept) {
        throw new RefusedError(refuse('platform.form', 'A form for this call must say its length.', 400));
      }
      const typed = new URLSearchParams(Buffer.isBuffer(body) ? body.toString('utf8') : '');
      for (const [name, value] of Object.entries(form)) typed.set(name, value);
      return {
        rule: `platform:${credential.kind}`,
        credential: credential.displayName,
        method: request.method,
        route,
        headers: bare,
        body: Buffer.from(typed.toString()),
      };
    }
    const headers =
      !kept && framing.kind === 'length' ? [...bare, 'content-length', String(framing.bytes)] : bare;
    if (
      credential.kind === 'github_app' &&
      botPath.test(request.target.path) &&
      !hasInstallation(credential)
    ) {
      return {
        rule: 'platform:anonymous',
        credential: null,
        method: request.method,
        route,
        headers: bare,
        body,
      };
    }
    const bearer = async (stale?: string) => {
      const value = await this.#token(credential, request.target.path, stale).catch(asRefused);
      if (!isHeaderValue(value)) {
        throw new RefusedError(
          failed(
            'credential.unreadable',
            'The credential is not a header value.',
            502,
            'credential_unreadable',
          ),
        );
      }
      return value;
    };
    const put = (value: string) => withHeader(headers, 'authorization', `Bearer ${value}`);
    const first = await bearer();
    const renewable = credential.kind === 'github_app' && kept && !wantsAppJwt(request.target.path);
    return {
      rule: `platform:${credential.kind}`,
      credential: credential.displayName,
      method: request.method,
      route,
      headers: put(first),
      body,
      ...(renewable ? { renew: async () => ({ headers: put(await bearer(first)), secrets: [] }) } : {}),
    };
  }

  async #token(credential: OpenCredential, path: string, stale?: string): Promise<string> {
    switch (credential.kind) {
      case 'slack_bot':
        return this.#parts.rotatingTokens.get(credential, 'slack_bot');
      case 'linear_app':
        return this.#parts.rotatingTokens.get(credential, 'linear_app');
      case 'github_app':
        if (/^\/app\/installations\/[^/]+\/access_tokens$/.test(path)) {
          throw new RefusedError(
            refuse('platform.mint', 'Installation tokens are minted in the egress process and stay there.'),
          );
        }
        return wantsAppJwt(path)
          ? appJwt(credential, this.#parts.now())
          : this.#parts.tokens.get(credential, undefined, stale);
      default:
        return '';
    }
  }
}

/** The same gate as for sessions: what the worker asks for can hold what an agent wrote. */
function checkTarget(incoming: IncomingMessage, url: URL, target: string): GatedRequest {
  // From the text, not from the URL: parsing it has already resolved the dots that the gate looks for.
  const path = target.slice('https://'.length).replace(/^[^/?#]*/, '') || '/';
  const { method = '', httpVersion } = incoming;
  const rawHeaders = incoming.rawHeaders.flatMap((part, i, all) => {
    const name = all[i - (i % 2)]?.toLowerCase();
    return name === 'host' ? [] : [part];
  });
  const gate = checkRequest(
    {
      method,
      httpVersion,
      url: path.startsWith('/') ? path : `/${path}`,
      rawHeaders: [...rawHeaders, 'host', url.hostname],
    },
    url.hostname,
    443,
  );
  if (!gate.ok) throw new RefusedError(gate.refusal);
  return gate.request;
}

function asRefused(error: unknown): never {
  if (error instanceof RefusedError) throw error;
  throw new RefusedError(credentialRefusal(error));
}

import type { Upstream } from './protocol.ts';

/** Base URLs as they are configured: each in the form that its vendor's SDK takes. */
export interface ApiUrls {
  /** Ends in `/api/`. */
  slack?: string | undefined;
  github?: string | undefined;
  /** The GraphQL endpoint itself. */
  linear?: string | undefined;
}

export interface ModelUrls {
  anthropic?: string | undefined;
  /** Ends in `/v1`. */
  openai?: string | undefined;
  google?: string | undefined;
}

/**
 * What the operator's URLs mean for requests: real publications go to the operator's own origins where there are any,
 * emulated ones to the workplace, and both to the configured models. Pure.
 */
export function configuredUpstreams(
  real: ApiUrls,
  emulated: ApiUrls | undefined,
  models: ModelUrls,
): Upstream[] {
  return [
    ...vendorUpstreams(real, 'real'),
    ...(emulated ? vendorUpstreams(emulated, 'emulated') : []),
    ...upstream('api.anthropic.com', '/', folder(models.anthropic), 'all'),
    ...upstream('api.openai.com', '/v1/', folder(models.openai), 'all'),
    ...upstream('generativelanguage.googleapis.com', '/', folder(models.google), 'all'),
  ];
}

function vendorUpstreams(urls: ApiUrls, scope: Upstream['scope']): Upstream[] {
  return [
    ...upstream('slack.com', '/api/', folder(urls.slack), scope),
    ...upstream('api.github.com', '/', folder(urls.github), scope),
    ...upstream('github.com', '/', enterpriseOrigin(urls.github), scope),
    ...upstream('api.linear.app', '/graphql', urls.linear, scope),
    ...upstream('api.linear.app', '/oauth/', urls.linear && new URL('/oauth/', urls.linear).href, scope),
  ];
}

function upstream(
  host: string,
  pathPrefix: string,
  target: string | undefined,
  scope: Upstream['scope'],
): Upstream[] {
  return target === undefined ? [] : [{ host, pathPrefix, target, scope }];
}

const folder = (url: string | undefined): string | undefined =>
  url === undefined || url.endsWith('/') ? url : `${url}/`;

/** GitHub Enterprise Server has its API below `/api/v3` and git at its root. */
const enterpriseOrigin = (url: string | undefined): string | undefined =>
  url !== undefined && /^\/api\/v3\/?$/.test(new URL(url).pathname) ? `${new URL(url).origin}/` : undefined;

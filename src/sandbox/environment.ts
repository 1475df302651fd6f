import { inside } from './inside.ts';

/** Paths that the variables point to; inside a sandbox those of `inside`. */
export interface EnvironmentPlaces {
  home: string;
  path: string;
  caBundle: string;
  sessionCa: string;
  javaTrust: string;
  proxyPort: number;
}

export const placesInside: EnvironmentPlaces = {
  home: inside.home,
  path: `${inside.nodeFolder}:/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin`,
  caBundle: inside.caBundle,
  sessionCa: inside.sessionCa,
  javaTrust: inside.javaTrust,
  proxyPort: inside.proxyPort,
};

/**
 * The one value of NO_PROXY that a program may be given: those that speak to a server of their own have to go there
 * directly. Loopback is the sandbox's own, so nothing outside is reached by it.
 */
export const loopbackNames = '127.0.0.1,localhost,::1';

/**
 * The whole environment of an agent program: the usual proxy variables, and every variable by which a common client
 * finds its CA bundle (most of them replace the client's own roots, so the bundle holds those too). Nothing of it is
 * secret. What `extra` names wins, except for the way out.
 */
export function sandboxEnvironment(
  extra: Readonly<Record<string, string>>,
  places: EnvironmentPlaces = placesInside,
): Record<string, string> {
  const direct = extra.NO_PROXY === loopbackNames ? loopbackNames : '';
  const proxy = `http://127.0.0.1:${places.proxyPort}`;
  return {
    PATH: places.path,
    HOME: places.home,
    USER: inside.user,
    LOGNAME: inside.user,
    SHELL: '/bin/bash',
    TMPDIR: '/tmp',
    LANG: 'C.UTF-8',
    TERM: 'dumb',
    GIT_TERMINAL_PROMPT: '0',
    ...extra,
    HTTP_PROXY: proxy,
    HTTPS_PROXY: proxy,
    http_proxy: proxy,
    https_proxy: proxy,
    ALL_PROXY: proxy,
    all_proxy: proxy,
    NO_PROXY: direct,
    no_proxy: direct,
    // Node reads the proxy variables only when it is told to.
    NODE_USE_ENV_PROXY: '1',
    NODE_EXTRA_CA_CERTS: places.sessionCa,
    SSL_CERT_FILE: places.caBundle,
    CURL_CA_BUNDLE: places.caBundle,
    REQUESTS_CA_BUNDLE: places.caBundle,
    PIP_CERT: places.caBundle,
    GIT_SSL_CAINFO: places.caBundle,
    DENO_CERT: places.caBundle,
    npm_config_cafile: places.caBundle,
    AWS_CA_BUNDLE: places.caBundle,
    GRPC_DEFAULT_SSL_ROOTS_FILE_PATH: places.caBundle,
    CARGO_HTTP_CAINFO: places.caBundle,
    // Java reads no proxy variables; where it is caught without them, it still has to trust.
    JAVA_TOOL_OPTIONS: `-Djavax.net.ssl.trustStore=${places.javaTrust} -Djavax.net.ssl.trustStoreType=JKS`,
  };
}

import type { CredentialKind, InstallationIdentity, PublicationSetup } from '../store/schema.ts';

/** What a manifest is made of. */
export interface ManifestInput {
  /** The name that people see and type. */
  name: string;
  /** What the agent is for, in a sentence; may be empty. */
  description: string;
  /** The gateway's origin. */
  baseUrl: string;
  webhookUrl: string;
  /** Where the provider sends the browser back with a code. */
  redirectUrl: string;
  /** GitHub: where it sends the browser after an installation. */
  setupUrl: string;
  /** From `requiredScopes`. */
  scopes: readonly string[];
}

/** The pages of a provider that people open: its own, or those of the emulated workplace. */
export interface ProviderPages {
  /** Origin of the pages where apps are made. */
  apps: string;
  /** Origin of the pages where apps are installed. */
  web: string;
}

/** How a browser gets to the page where the app is made: a link, or a form that has to be posted. */
export interface CreateRequest {
  method: 'get' | 'post';
  url: string;
  fields: Readonly<Record<string, string>>;
}

/** What somebody has to copy from the provider's page and type here. */
export interface AppField {
  name: string;
  label: string;
  /** Where it is found. */
  hint: string;
  secret: boolean;
}

/** A credential as it is sealed (`secret`) and as it is stored beside that (`detail`). */
export interface NewCredential {
  kind: CredentialKind;
  secret: Record<string, string>;
  detail: Record<string, string>;
}

/** An app's own credentials, taken apart: what verifies webhooks, what is sealed, what may be shown. */
export interface AppCredentials {
  webhookSecret: string | undefined;
  credential: NewCredential;
  setup: Pick<PublicationSetup, 'clientId' | 'appId' | 'slug' | 'appUrl'>;
}

export interface InstallRequest {
  setup: PublicationSetup;
  pages: ProviderPages;
  redirectUrl: string;
  scopes: readonly string[];
  state: string;
  /** PKCE, S256; put in where the provider takes it. */
  challenge: string;
}

export interface ExchangeRequest {
  code: string;
  redirectUrl: string;
  verifier: string;
}

/** What the I/O of the flow is given; `fetch` goes to the egress process, which puts the client's secret on. */
export interface FlowContext {
  fetch: typeof fetch;
  clock: () => Date;
}

/** How a publication's app is made and installed at one provider. */
export interface PublishFlow {
  /** How people speak to it first, in a sentence. */
  firstWords: string;
  /**
   * Whether its handle is its name in the addresses of its pages, and whether an installation that is made anew in the
   * same account has another number.
   */
  namedBySlug?: true;
  /** Pure. */
  manifest(input: ManifestInput): Record<string, unknown>;
  /** Pure. `state` comes back only from a provider that returns from this page. */
  create(
    input: ManifestInput,
    to: { pages: ProviderPages; owner: string | undefined; state: string },
  ): CreateRequest;
  /** Empty where the provider hands the app's credentials over by itself. */
  appFields: readonly AppField[];
  /** Checks and takes apart what was typed. Throws a ZodError that names the wrong field. */
  splitApp?(typed: unknown): AppCredentials;
  /** Exchanges the code of a made app for its credentials (GitHub). */
  convert?(context: FlowContext, code: string): Promise<AppCredentials>;
  /** Pure: the page where the app is installed. Throws where the app is not known yet. */
  installUrl(request: InstallRequest): string;
  /** Exchanges the code of an installation for its token. */
  exchange?(context: FlowContext, request: ExchangeRequest): Promise<NewCredential>;
  /** Takes the installation back at the provider. What is gone already counts as done. */
  revoke(context: FlowContext, identity: InstallationIdentity): Promise<void>;
}

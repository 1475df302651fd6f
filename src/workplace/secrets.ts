import { generateKeyPairSync, randomBytes, randomInt } from 'node:crypto';
import { people } from './seeds.ts';

/** What the emulated vendors gave out: made by chance once per workplace, then kept with its state. */
export interface WorkplaceSecrets {
  apiSecret: string;
  modelApiKey: string;
  slack: {
    signingSecret: string;
    botToken: string;
    appId: string;
    botId: string;
    botUserId: string;
    /** By person id. */
    personTokens: Record<string, string>;
  };
  github: {
    appId: number;
    installationId: number;
    /** PKCS#1 PEM, as GitHub hands out. */
    privateKey: string;
    webhookSecret: string;
    personTokens: Record<string, string>;
  };
  linear: { signingSecret: string; accessToken: string };
}

function slackId(letter: string): string {
  return letter + randomBytes(5).toString('hex').toUpperCase();
}

function tokens(prefix: string): Record<string, string> {
  return Object.fromEntries(
    people.map((person) => [person.id, `${prefix}${randomBytes(18).toString('base64url')}`]),
  );
}

/** New secrets and identities, none of which another workplace has. */
export function makeSecrets(): WorkplaceSecrets {
  const { privateKey } = generateKeyPairSync('rsa', {
    modulusLength: 2048,
    privateKeyEncoding: { type: 'pkcs1', format: 'pem' },
    publicKeyEncoding: { type: 'pkcs1', format: 'pem' },
  });
  return {
    apiSecret: randomBytes(24).toString('base64url'),
    modelApiKey: `offline-${randomBytes(24).toString('base64url')}`,
    slack: {
      signingSecret: randomBytes(16).toString('hex'),
      botToken: `xoxb-${randomInt(1e11, 1e12)}-${randomBytes(18).toString('hex')}`,
      appId: slackId('A'),
      botId: slackId('B'),
      botUserId: slackId('U'),
      personTokens: tokens('xoxp-'),
    },
    github: {
      appId: randomInt(100_000, 999_999),
      installationId: randomInt(10_000_000, 99_999_999),
      privateKey,
      webhookSecret: randomBytes(20).toString('hex'),
      personTokens: tokens('ghp_'),
    },
    linear: {
      signingSecret: `lin_wh_${randomBytes(20).toString('hex')}`,
      accessToken: `lin_oauth_${randomBytes(32).toString('hex')}`,
    },
  };
}

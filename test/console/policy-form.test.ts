import { describe, expect, it } from 'vitest';
import {
  entriesOf,
  formOf,
  type Policy,
  type PolicyForm,
  placeProblems,
  policyOf,
} from '../../console/src/publications/policy-form.ts';
import { approvalsPolicy, authorityPolicy, limitsPolicy, readPolicy } from '../../src/capabilities/policy.ts';
import { policyInput } from '../../src/gateway/rest/publications.ts';

const empty = formOf({});
const withForm = (change: Partial<PolicyForm>) => policyOf({ ...empty, ...change });

describe('the form of a policy', () => {
  it('is the defaults when nothing was set, and saves as them', () => {
    const { policy, problems } = policyOf(empty);
    expect(problems).toEqual({});
    expect(readPolicy({ ...policy })).toEqual(readPolicy({}));
  });

  it('gives back what was stored, whatever it was', () => {
    const stored: Policy = {
      allowed_hosts: ['example.com', '*.example.org', 'example.net:8443', 'example.net:8443/V1/Users'],
      passthrough_hosts: ['pinned.example.com'],
      environment_id: 'env_1',
      vault_ids: ['vlt_1'],
      authority: {
        who: 'listed',
        people: ['U1', 'U2'],
        teams: ['acme/maintainers'],
        places: ['C1'],
        guests: 'allow',
        external: 'ignore',
        bots: 'allow',
        bot_messages_per_hour: 3,
        max_hops: 2,
      },
      approvals: { approvers: ['U1', 'U2'], needed: 2, self: true, expires_minutes: 5 },
      limits: { turns_per_anchor_per_hour: 7, turns_per_hour: 8 },
    };
    expect(policyOf(formOf(stored))).toEqual({ policy: stored, problems: {} });
    expect(authorityPolicy.safeParse(stored.authority).success).toBe(true);
    expect(approvalsPolicy.safeParse(stored.approvals).success).toBe(true);
    expect(limitsPolicy.safeParse(stored.limits).success).toBe(true);
    // What it had no field for, it would drop when it is saved.
    const keys = (all: object | undefined) => Object.keys(all ?? {}).sort();
    expect(keys(stored)).toEqual(keys(policyInput.shape));
    expect(keys(stored.authority)).toEqual(keys(authorityPolicy.shape));
    expect(keys(stored.approvals)).toEqual(keys(approvalsPolicy.shape));
    expect(keys(stored.limits)).toEqual(keys(limitsPolicy.shape));
  });

  it('takes teams alone as a list', () => {
    expect(withForm({ who: 'listed', teams: 'acme/maintainers' }).problems).toEqual({});
  });

  it('reads lists by line and by comma, each entry once', () => {
    expect(entriesOf(' U1, U2\n\nU1 \n')).toEqual(['U1', 'U2']);
    expect(withForm({ allowedHosts: 'Example.COM' }).policy.allowed_hosts).toEqual(['example.com']);
    expect(withForm({ allowedHosts: 'Example.COM/V1\nexample.com/V1' }).policy.allowed_hosts).toEqual([
      'example.com/V1',
    ]);
  });

  it.each<[keyof PolicyForm, Partial<PolicyForm>]>([
    ['people', { who: 'listed' }],
    ['needed', { approvers: 'U1', needed: '2' }],
    ['needed', { needed: '0' }],
    ['expiresMinutes', { expiresMinutes: '1.5' }],
    ['turnsPerHour', { turnsPerHour: '-1' }],
    ['turnsPerAnchorPerHour', { turnsPerAnchorPerHour: '1e3' }],
    ['maxHops', { maxHops: '21' }],
    ['botMessagesPerHour', { botMessagesPerHour: '٣' }],
    ['allowedHosts', { allowedHosts: 'https://example.com' }],
    ['allowedHosts', { allowedHosts: 'localhost' }],
    ['allowedHosts', { allowedHosts: 'localhost/v1' }],
    ['allowedHosts', { allowedHosts: 'example.com/v1?x=1' }],
    ['allowedHosts', { allowedHosts: 'example.com/v1/*' }],
    ['allowedHosts', { allowedHosts: '127.0.0.1' }],
    ['passthroughHosts', { passthroughHosts: 'example.com:8443' }],
  ])('says what is wrong beside %s', (field, change) => {
    expect(Object.keys(withForm(change).problems)).toEqual([field]);
  });

  it("puts the server's words beside the fields that they are about", () => {
    expect(
      placeProblems(
        'policy.authority.people.3: Too long; policy.vault_ids: There is no vault; Something else',
      ),
    ).toEqual({
      problems: { people: 'Too long', vaultIds: 'There is no vault' },
      rest: 'Something else',
    });
  });
});

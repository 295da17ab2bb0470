// The flows of an application, by `openid-client` as it is published. Ends with 0 where everything went as it must.
// ISSUER: where jeton is. The login service at its authorization endpoint signs alice in without asking.
import assert from 'node:assert/strict';
import * as client from 'openid-client';

const issuer = new URL(process.env.ISSUER);
const insecure = { execute: [client.allowInsecureRequests] };
const discover = (id, secret, authentication) => client.discovery(issuer, id, secret, authentication, insecure);

// A job without a user, whose secret is in the header.
const job = await discover('billing-job', undefined, client.ClientSecretBasic(process.env.JOB_SECRET));
const own = await client.clientCredentialsGrant(job, { scope: 'orders:read' });
assert.equal(own.token_type, 'bearer');
assert.equal(own.scope, 'orders:read');
const introspected = await client.tokenIntrospection(job, own.access_token);
assert.equal(introspected.active, true);
assert.equal(introspected.client_id, 'billing-job');
await client.tokenRevocation(job, own.access_token);
assert.deepEqual(await client.tokenIntrospection(job, own.access_token), { active: false });
console.log('client credentials, introspection, revocation');

// The same job by an assertion that its key signs (private_key_jwt).
const pkcs8 = Buffer.from(process.env.JOB_KEY, 'base64');
const key = await crypto.subtle.importKey('pkcs8', pkcs8, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
const signing = await discover('billing-job', undefined, client.PrivateKeyJwt({ key, kid: 'job-1' }));
const proved = await client.clientCredentialsGrant(signing, { scope: 'orders:read' });
assert.equal((await client.tokenIntrospection(signing, proved.access_token)).active, true);
await client.tokenRevocation(signing, proved.access_token);
assert.deepEqual(await client.tokenIntrospection(signing, proved.access_token), { active: false });
const { privateKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign']);
const forging = await discover('billing-job', undefined, client.PrivateKeyJwt({ key: privateKey, kid: 'job-1' }));
await assert.rejects(client.clientCredentialsGrant(forging, { scope: 'orders:read' }), { status: 401 });
console.log('a client that signs assertions');

// A public application with a user: code and PKCE. The ID token's signature is checked, too.
const mobile = await discover('mobile-app', undefined, client.None());
client.enableNonRepudiationChecks(mobile);
const redirect_uri = 'http://127.0.0.1:49152/callback';
const signIn = async (config, options) => {
  const pkceCodeVerifier = client.randomPKCECodeVerifier();
  const [expectedState, expectedNonce] = [client.randomState(), client.randomNonce()];
  const asked = client.buildAuthorizationUrl(config, {
    redirect_uri,
    scope: 'openid offline_access orders:read',
    code_challenge: await client.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
    state: expectedState,
    nonce: expectedNonce,
  });
  const sent = await fetch(asked, { redirect: 'manual' });
  assert.equal(sent.status, 302);
  const back = new URL(sent.headers.get('location'));
  const checks = { pkceCodeVerifier, expectedState, expectedNonce, idTokenExpected: true };
  return { back, checks, tokens: await client.authorizationCodeGrant(config, back, checks, undefined, options) };
};
const { back, checks, tokens } = await signIn(mobile);
assert.equal(tokens.claims().sub, 'alice');
await assert.rejects(client.authorizationCodeGrant(mobile, back, checks), { error: 'invalid_grant' });
console.log('authorization code with PKCE, an ID token, a code spent once');

const refreshed = await client.refreshTokenGrant(mobile, tokens.refresh_token, { scope: 'openid orders:read' });
assert.notEqual(refreshed.access_token, tokens.access_token);
assert.equal(refreshed.claims().sub, 'alice');
await client.tokenRevocation(mobile, refreshed.refresh_token);
await assert.rejects(client.refreshTokenGrant(mobile, refreshed.refresh_token), { error: 'invalid_grant' });
console.log('refresh, revocation');

// A confidential application, whose secret is in the form.
const web = await discover('web-app', undefined, client.ClientSecretPost(process.env.WEB_SECRET));
const held = (await signIn(web)).tokens;
assert.equal((await client.tokenIntrospection(web, held.access_token)).sub, 'alice');
assert.equal((await client.refreshTokenGrant(web, held.refresh_token)).claims().sub, 'alice');
const wrong = await discover('web-app', undefined, client.ClientSecretPost('wrong'));
await assert.rejects(client.refreshTokenGrant(wrong, held.refresh_token), { status: 401 });
console.log('a confidential client');

// A device without a keyboard: alice allows it on her telephone.
const device = await client.initiateDeviceAuthorization(mobile, { scope: 'openid offline_access orders:read' });
assert.equal((await fetch(device.verification_uri_complete)).status, 200);
const ofDevice = await client.pollDeviceAuthorizationGrant(mobile, device);
assert.equal(ofDevice.claims().sub, 'alice');
assert.ok((await client.refreshTokenGrant(mobile, ofDevice.refresh_token)).access_token);
console.log('a device');

// Tokens bound to a key, with the nonces of the server (RFC 9449): a refresh without the key is refused.
const DPoP = client.getDPoPHandle(mobile, await client.randomDPoPKeyPair('ES256'));
const boundCode = await signIn(mobile, { DPoP });
assert.equal(boundCode.tokens.token_type, 'dpop');
const bound = await client.refreshTokenGrant(mobile, boundCode.tokens.refresh_token, undefined, { DPoP });
assert.equal(bound.token_type, 'dpop');
await assert.rejects(client.refreshTokenGrant(mobile, bound.refresh_token), { error: 'invalid_grant' });
console.log('DPoP with nonces');

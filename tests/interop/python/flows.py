"""The flows of an application, by Authlib as it is published. Ends with 0 where everything went as it must.

ISSUER: where jeton is. The login service at its authorization endpoint signs alice in without asking.
"""

import os
from urllib.parse import parse_qs, urlsplit

import requests
from authlib.common.security import generate_token
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from joserfc import jwt
from joserfc.jwk import KeySet

ISSUER = os.environ["ISSUER"]
REDIRECT_URI = "http://127.0.0.1:49152/callback"
SCOPE = "openid offline_access orders:read"

server = requests.get(f"{ISSUER}/.well-known/openid-configuration", timeout=10).json()
assert server["issuer"] == ISSUER
keys = KeySet.import_key_set(requests.get(server["jwks_uri"], timeout=10).json())


def refuses(expected, act):
    try:
        act()
    except OAuthError as error:
        assert error.error == expected, error
    else:
        raise AssertionError(f"{expected} was expected")


def introspected(session, token):
    return session.introspect_token(server["introspection_endpoint"], token=token).json()


# A job without a user, whose secret is in the header.
job = OAuth2Session("billing-job", os.environ["JOB_SECRET"], scope="orders:read")
token = job.fetch_token(server["token_endpoint"], grant_type="client_credentials")
assert introspected(job, token["access_token"])["active"] is True
assert job.revoke_token(server["revocation_endpoint"], token=token["access_token"]).status_code == 200
assert introspected(job, token["access_token"]) == {"active": False}
print("client credentials, introspection, revocation")


def sign_in(session):
    """A user signs in: answers the session's tokens, and how they were asked for."""
    verifier, nonce = generate_token(48), generate_token(20)
    url, state = session.create_authorization_url(server["authorization_endpoint"], code_verifier=verifier, nonce=nonce)
    sent = requests.get(url, allow_redirects=False, timeout=10)
    assert sent.status_code == 302
    back = sent.headers["Location"]
    assert parse_qs(urlsplit(back).query)["state"] == [state]
    redeem = {"authorization_response": back, "code_verifier": verifier, "state": state}
    tokens = session.fetch_token(server["token_endpoint"], **redeem)
    claims = jwt.decode(tokens["id_token"], keys, algorithms=["EdDSA", "ES256", "RS256"]).claims
    expected = {"iss": ISSUER, "sub": "alice", "aud": session.client_id, "nonce": nonce}
    assert expected.items() <= claims.items(), claims
    return tokens, redeem


# A public application with a user: code and PKCE.
mobile = OAuth2Session(
    "mobile-app",
    token_endpoint_auth_method="none",
    scope=SCOPE,
    redirect_uri=REDIRECT_URI,
    code_challenge_method="S256",
)
tokens, redeem = sign_in(mobile)
refuses("invalid_grant", lambda: mobile.fetch_token(server["token_endpoint"], **redeem))
print("authorization code with PKCE, an ID token, a code spent once")

refreshed = mobile.refresh_token(server["token_endpoint"], refresh_token=tokens["refresh_token"])
assert refreshed["access_token"] != tokens["access_token"]
assert mobile.revoke_token(server["revocation_endpoint"], token=refreshed["refresh_token"]).status_code == 200
refuses(
    "invalid_grant",
    lambda: mobile.refresh_token(server["token_endpoint"], refresh_token=refreshed["refresh_token"]),
)
print("refresh, revocation")

# A confidential application, whose secret is in the form.
web = OAuth2Session(
    "web-app",
    os.environ["WEB_SECRET"],
    token_endpoint_auth_method="client_secret_post",
    scope=SCOPE,
    redirect_uri=REDIRECT_URI,
    code_challenge_method="S256",
)
tokens, _ = sign_in(web)
assert introspected(web, tokens["access_token"])["sub"] == "alice"
assert web.refresh_token(server["token_endpoint"], refresh_token=tokens["refresh_token"])["access_token"]
web.client_secret = "wrong"
refuses("invalid_client", lambda: web.refresh_token(server["token_endpoint"], refresh_token=tokens["refresh_token"]))
print("a confidential client")

// The flows of an application, by golang.org/x/oauth2 and go-oidc as they are published. Ends with 0 where everything went as it must.
//
// ISSUER: where jeton is. The login service at its authorization endpoint signs alice in without asking.
package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/coreos/go-oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"
)

const redirectURI = "http://127.0.0.1:49152/callback"

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func holds(what string, is bool) {
	if !is {
		log.Fatal("it does not hold: ", what)
	}
}

func random() string {
	bytes := make([]byte, 32)
	_, err := rand.Read(bytes)
	must(err)
	return base64.RawURLEncoding.EncodeToString(bytes)
}

func refused(err error, word string) bool {
	var refusal *oauth2.RetrieveError
	return errors.As(err, &refusal) && strings.Contains(string(refusal.Body), `"`+word+`"`)
}

// Posts a form with a client's secret in the header: what the library has no call for.
func post(to, id, secret, token string) map[string]interface{} {
	request, err := http.NewRequest(http.MethodPost, to, strings.NewReader(url.Values{"token": {token}}.Encode()))
	must(err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	answer, err := http.DefaultClient.Do(request)
	must(err)
	defer answer.Body.Close()
	holds("it is answered", answer.StatusCode == http.StatusOK)
	var said map[string]interface{}
	must(json.NewDecoder(answer.Body).Decode(&said))
	return said
}

func signIn(ctx context.Context, config *oauth2.Config, verifier *oidc.IDTokenVerifier) *oauth2.Token {
	state, nonce, secret := random(), random(), random()
	challenge := sha256.Sum256([]byte(secret))
	asked := config.AuthCodeURL(state, oidc.Nonce(nonce),
		oauth2.SetAuthURLParam("code_challenge", base64.RawURLEncoding.EncodeToString(challenge[:])),
		oauth2.SetAuthURLParam("code_challenge_method", "S256"))
	browser := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	sent, err := browser.Get(asked)
	must(err)
	defer sent.Body.Close()
	back, err := sent.Location()
	must(err)
	holds("the state comes back", back.Query().Get("state") == state)
	code := back.Query().Get("code")
	proof := oauth2.SetAuthURLParam("code_verifier", secret)
	_, err = config.Exchange(ctx, code)
	holds("a code without its verifier is refused", refused(err, "invalid_grant"))
	token, err := config.Exchange(ctx, code, proof)
	must(err)
	id, err := verifier.Verify(ctx, token.Extra("id_token").(string))
	must(err)
	holds("alice signed in", id.Subject == "alice" && id.Nonce == nonce)
	must(id.VerifyAccessToken(token.AccessToken))
	_, err = config.Exchange(ctx, code, proof)
	holds("a code is spent once", refused(err, "invalid_grant"))
	return token
}

func main() {
	ctx := context.Background()
	provider, err := oidc.NewProvider(ctx, os.Getenv("ISSUER"))
	must(err)
	endpoint := provider.Endpoint()
	var metadata struct {
		Introspection string `json:"introspection_endpoint"`
		Revocation    string `json:"revocation_endpoint"`
	}
	must(provider.Claims(&metadata))

	job := clientcredentials.Config{
		ClientID: "billing-job", ClientSecret: os.Getenv("JOB_SECRET"), TokenURL: endpoint.TokenURL, Scopes: []string{"orders:read"},
	}
	own, err := job.Token(ctx)
	must(err)
	ask := func(token string) bool {
		return post(metadata.Introspection, job.ClientID, job.ClientSecret, token)["active"] == true
	}
	holds("its own token is active", ask(own.AccessToken))
	post(metadata.Revocation, job.ClientID, job.ClientSecret, own.AccessToken)
	holds("a revoked token is not", !ask(own.AccessToken))
	fmt.Println("client credentials, introspection, revocation")

	config := oauth2.Config{
		ClientID: "web-app", ClientSecret: os.Getenv("WEB_SECRET"), Endpoint: endpoint, RedirectURL: redirectURI,
		Scopes: []string{oidc.ScopeOpenID, oidc.ScopeOfflineAccess, "orders:read"},
	}
	verifier := provider.Verifier(&oidc.Config{ClientID: config.ClientID, SupportedSigningAlgs: []string{"ES256"}})
	token := signIn(ctx, &config, verifier)
	fmt.Println("authorization code with PKCE, an ID token, a code spent once")

	refreshed, err := config.TokenSource(ctx, &oauth2.Token{RefreshToken: token.RefreshToken}).Token()
	must(err)
	holds("a new access token", refreshed.AccessToken != token.AccessToken)
	post(metadata.Revocation, config.ClientID, config.ClientSecret, refreshed.RefreshToken)
	_, err = config.TokenSource(ctx, &oauth2.Token{RefreshToken: refreshed.RefreshToken}).Token()
	holds("a revoked refresh token is refused", refused(err, "invalid_grant"))
	fmt.Println("refresh, revocation")
}

//! The four operations as methods, with deadlines and with the retries that are safe.

use crate::api::key_service_client::KeyServiceClient;
use crate::api::revocation_service_client::RevocationServiceClient;
use crate::api::token_service_client::TokenServiceClient;
use crate::api::{
    GetJwksRequest, GetJwksResponse, IntrospectRequest, IntrospectResponse, IssueRequest, IssueResponse, RefreshRequest,
    RefreshResponse, RevokeRequest, RevokeResponse, WatchRequest, WatchResponse,
};
use crate::caller::CallerToken;
use crate::error::Error;
use crate::random;
use crate::retry::{self, Patience, Repeat};
use std::future::Future;
use std::time::Duration;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Response, Status, Streaming};

/// A connection that takes longer is given up.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// A peer that is gone is noticed within the sum of both.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The longest that a call takes, its retries included. Default 4 s: an answer of Refresh that comes later must not be adopted.
    pub deadline: Duration,
    /// The longest that one attempt takes. It travels with the request. Default 2 s.
    pub attempt: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { deadline: Duration::from_secs(4), attempt: Duration::from_secs(2) }
    }
}

/// Calls jeton. Cheap to clone; clones share their connections.
///
/// # What is repeated
///
/// | call | after no answer, `UNAVAILABLE`, or a retry hint of jeton's | why |
/// |---|---|---|
/// | [`introspect`](Self::introspect) | repeated | it changes nothing |
/// | [`revoke`](Self::revoke) | repeated | revoking twice is revoking once |
/// | [`refresh`](Self::refresh) | repeated, with the same `request_id` | jeton knows the attempt again, and answers it again |
/// | [`issue`](Self::issue) | only where it certainly did not happen | each Issue makes a grant; one too many is one that nobody ends |
///
/// A refresh that passes a DPoP proof on is repeated with it, and a proof counts once: where the first attempt was heard, the answer is
/// `INVALID_DPOP_PROOF`. Refresh again then with a new proof and the same token.
///
/// Pauses grow, are jittered and not shorter than jeton asks for, and no retry begins after the deadline. What jeton refuses for good
/// is returned at once.
///
/// # Processes that share a refresh token
///
/// Two processes that hold one refresh token, but not one storage, each look like a thief to the other. So
/// - refresh under a lock that all of them take, one request at a time, and read the storage again before a retry of your own;
/// - store the new token before anything of the answer is used, and never let an older token take the place of a newer one;
/// - adopt no answer that comes after the deadline. This client drops it;
/// - best of all let the client prove itself (client authentication, a certificate, DPoP): then a token that was rotated away in
///   another process is answered at any age, and none of this can log anybody out.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
    patience: Patience,
    caller: Option<CallerToken>,
}

impl Client {
    /// Connects to the replicas at these addresses, such as `http://127.0.0.1:50051`. Calls are spread over them; each is connected when
    /// it is first needed, and again after it was lost.
    ///
    /// Call it within a tokio runtime.
    ///
    /// # Errors
    /// `NotSent` where there is no address, or one is none.
    pub fn connect<I>(addresses: I) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        Self::connect_with_tls(addresses, ClientTlsConfig::new().with_enabled_roots())
    }

    /// The same at addresses such as `https://jeton.internal:50051`, with the authorities that are trusted there and, where the listener
    /// knows its callers by their certificates, the certificate of this service:
    ///
    /// ```
    /// # fn tls(authorities: &str, certificate: &str, key: &str) -> tonic::transport::ClientTlsConfig {
    /// use jeton_client::tonic::transport::{Certificate, ClientTlsConfig, Identity};
    /// ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authorities)).identity(Identity::from_pem(certificate, key))
    /// # }
    /// ```
    ///
    /// `connect` trusts the authorities of this machine, and shows no certificate. A certificate that is exchanged is shown by a client
    /// that is made anew.
    ///
    /// # Errors
    /// As `connect`; `NotSent` where the certificates or the key are none.
    pub fn connect_with_tls<I>(addresses: I, tls: ClientTlsConfig) -> Result<Self, Error>
    where
        I: IntoIterator,
        I::Item: Into<String>,
    {
        let endpoint = |address: I::Item| endpoint(address.into(), &tls);
        let endpoints: Vec<Endpoint> = addresses.into_iter().map(endpoint).collect::<Result<_, _>>()?;
        let channel = match endpoints.as_slice() {
            [] => return Err(Error::NotSent("there is no address to connect to".into())),
            [one] => one.connect_lazy(),
            _ => Channel::balance_list(endpoints.into_iter()),
        };
        Ok(Self::on(channel, Settings::default()))
    }

    /// Calls over a channel of your own making: over a socket, say.
    #[must_use]
    pub fn on(channel: Channel, settings: Settings) -> Self {
        Self { channel, patience: Patience { deadline: settings.deadline, attempt: settings.attempt }, caller: None }
    }

    /// The same with other waiting times.
    #[must_use]
    pub fn with_settings(self, settings: Settings) -> Self {
        Self { caller: self.caller, ..Self::on(self.channel, settings) }
    }

    /// The same, shown with every call who calls: a key, or the token of a Kubernetes service account.
    #[must_use]
    pub fn with_caller_token(self, token: CallerToken) -> Self {
        Self { caller: Some(token), ..self }
    }

    /// Issues tokens after the user was authenticated, or to a client itself.
    ///
    /// Repeated only where it certainly did not happen. After [`Error::NoAnswer`] it may have: then issue anew, and let the grant that
    /// nobody knows expire.
    ///
    /// # Errors
    /// `SESSION_REVOKED`, `INVALID_CLIENT`, `INVALID_SCOPE`, `REAUTHENTICATION_REQUIRED` and others of `docs/errors.md`.
    pub async fn issue(&self, request: IssueRequest) -> Result<IssueResponse, Error> {
        self.call(Repeat::Unbegun, request, |mut tokens, request| async move { tokens.issue(request).await }).await
    }

    /// Gives a new access token for a refresh token. Where `request_id` is empty it is given one, which all retries of this call share.
    ///
    /// After [`Error::NoAnswer`] call again with the same token *and* a `request_id` that you chose yourself before the first call: then
    /// even a retry after a restart of your process is answered, however late.
    ///
    /// # Errors
    /// `REFRESH_TOKEN_REFUSED`: sign the user in again. `REAUTHENTICATION_REQUIRED` says in its metadata what is missing.
    pub async fn refresh(&self, mut request: RefreshRequest) -> Result<RefreshResponse, Error> {
        if request.request_id.is_empty() {
            request.request_id = random::name().ok_or_else(|| Error::NotSent("the system gives no randomness".into()))?;
        }
        self.call(Repeat::Always, request, |mut tokens, request| async move { tokens.refresh(request).await }).await
    }

    /// Ends a token, a grant, or all that a session, subject, client, consent or signing key stands for. In force when it is answered.
    ///
    /// # Errors
    /// `REVOKED_NOT_DURABLE` after the last retry: in force from `revision` of the metadata on, but a failover of the store may lose it.
    pub async fn revoke(&self, request: RevokeRequest) -> Result<RevokeResponse, Error> {
        self.call(Repeat::Always, request, |mut tokens, request| async move { tokens.revoke(request).await }).await
    }

    /// Tells whether a token is active, and what it says. [`Verifier`](crate::Verifier) does it without asking.
    ///
    /// # Errors
    /// Never about the token: one that is not active is no error.
    pub async fn introspect(&self, request: IntrospectRequest) -> Result<IntrospectResponse, Error> {
        self.call(Repeat::Always, request, |mut tokens, request| async move { tokens.introspect(request).await }).await
    }

    pub(crate) async fn jwks(&self) -> Result<GetJwksResponse, Error> {
        retry::call(Repeat::Always, self.patience, |time| {
            let mut keys = KeyServiceClient::new(self.channel.clone());
            let request = self.within(GetJwksRequest {}, time);
            async move { keys.get_jwks(request?).await }
        })
        .await
    }

    /// Opens a stream of revocations. It has no deadline.
    pub(crate) async fn watch(&self, said: ReceiverStream<WatchRequest>) -> Result<Streaming<WatchResponse>, Error> {
        let request = self.shown(Request::new(said))?;
        Ok(RevocationServiceClient::new(self.channel.clone()).watch(request).await?.into_inner())
    }

    /// How long a call may take.
    pub(crate) const fn deadline(&self) -> Duration {
        self.patience.deadline
    }

    async fn call<M, T, F>(
        &self,
        repeat: Repeat,
        message: M,
        method: impl Fn(TokenServiceClient<Channel>, Request<M>) -> F,
    ) -> Result<T, Error>
    where
        M: Clone,
        F: Future<Output = Result<Response<T>, Status>>,
    {
        retry::call(repeat, self.patience, |time| {
            let request = self.within(message.clone(), time);
            let called = request.map(|request| method(TokenServiceClient::new(self.channel.clone()), request));
            async move { called?.await }
        })
        .await
    }

    /// The request with the time that its caller has: the server gives up when he does.
    fn within<M>(&self, message: M, time: Duration) -> Result<Request<M>, Status> {
        let mut request = Request::new(message);
        request.set_timeout(time);
        self.shown(request)
    }

    /// The request with what shows who calls.
    fn shown<M>(&self, mut request: Request<M>) -> Result<Request<M>, Status> {
        if let Some(caller) = &self.caller {
            request.metadata_mut().insert("authorization", caller.header()?);
        }
        Ok(request)
    }
}

fn endpoint(address: String, tls: &ClientTlsConfig) -> Result<Endpoint, Error> {
    let shown = format!("`{address}` is no address such as http://127.0.0.1:50051 or https://jeton.internal:50051");
    let mut endpoint = Endpoint::from_shared(address).map_err(|_not_a_uri| Error::NotSent(shown))?;
    if endpoint.uri().scheme_str() == Some("https") {
        endpoint = endpoint.tls_config(tls.clone()).map_err(|problem| {
            Error::NotSent(format!("there is no TLS by these authorities, this certificate and its key: {problem}"))
        })?;
    }
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT))
}

//! The operator's page: how this replica is, why a token is not active, what a subject granted, and ending it. HTML written here, nothing
//! loaded from elsewhere, and no script at all.
//!
//! Lives here: the addresses of the page, and what stands before each: `guard` (only the page itself, and whoever opens it), who calls,
//! place and deadline. Below: `overview` with `plots`, `explain` with `parts`, `grants`, `revoke` with `seal`, and how all look: `frame`,
//! `words`. Must not live here: anything that the same caller could not ask over gRPC.
//!
//! INVARIANT: what is pasted or typed comes in the body of a POST, never in an address; a token is in no answer.

mod explain;
mod frame;
mod grants;
mod guard;
mod overview;
mod parts;
mod plots;
mod revoke;
mod seal;
mod words;

use crate::audit::{Origin, on_behalf};
use crate::clock::Clock;
use crate::service::Service;
use crate::telemetry::rates::Rates;
use crate::telemetry::{Sampler, metrics, trace};
use crate::transport::admin::Saying;
use crate::transport::caller::{self, Admission, Caller};
use crate::transport::capacity::{Capacity, Lane, within};
use crate::transport::fault::{Edge, Fault, Reason, code_word};
use crate::transport::http::Certificates;
use crate::transport::http::answer::insert;
use crate::transport::http::form::{Asked, Form};
use crate::transport::logged;
use axum::Router;
use axum::body::Body;
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};
use frame::{Facts, Sheet};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{Method, Request, StatusCode};
use jeton_domain::error::{Error, Result};
use seal::Seals;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::Instrument as _;

/// The most requests at work at once: people ask, and few.
const MAX_IN_FLIGHT: usize = 16;

/// How the page is served.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who is let in where no callers are configured.
    pub admission: Admission,
    /// Whether it listens on loopback, whither only names of this machine lead.
    pub is_local: bool,
    /// The longest that a request may take, its body read.
    pub request_deadline: Duration,
    /// Which requests are traced.
    pub sampler: Sampler,
    /// The store, without its password.
    pub store: String,
}

/// The page of this process. Cheap to clone; clones are the same.
#[derive(Clone)]
pub struct Page(Arc<Behind>);

/// What it shows, and how it is served.
struct Behind {
    service: Arc<Service>,
    saying: Saying,
    rates: Arc<Rates>,
    clock: Clock,
    seals: Seals,
    settings: Settings,
    capacity: Arc<Capacity>,
}

/// What is asked, and by whom.
struct Asking {
    caller: Arc<Caller>,
    form: Form,
    /// Whether what is shown is to stand still.
    is_still: bool,
}

/// An address: its name in spans and counters, and the lane in which it asks for a place.
#[derive(Clone, Copy)]
struct Endpoint {
    name: &'static str,
    lane: Lane,
}

const OVERVIEW: Endpoint = Endpoint { name: "page_overview", lane: Lane::Ordinary };
const EXPLAIN: Endpoint = Endpoint { name: "page_explain", lane: Lane::Ordinary };
const GRANTS: Endpoint = Endpoint { name: "page_grants", lane: Lane::Ordinary };
const DRY_RUN: Endpoint = Endpoint { name: "page_dry_run", lane: Lane::Ordinary };
const REVOKE: Endpoint = Endpoint { name: "page_revoke", lane: Lane::Revocation };

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page(..)")
    }
}

impl Page {
    /// Over the operations; `saying` tells how this replica is, `rates` what it did lately.
    ///
    /// # Errors
    /// `Internal`: the system has no randomness.
    pub fn new(service: Arc<Service>, saying: Saying, rates: Arc<Rates>, clock: Clock, settings: Settings) -> Result<Self> {
        let (seals, capacity) = (Seals::new()?, Capacity::new("admin", MAX_IN_FLIGHT));
        Ok(Self(Arc::new(Behind { service, saying, rates, clock, seals, settings, capacity })))
    }

    /// Whether it listens on loopback.
    pub(super) fn is_local(&self) -> bool {
        self.0.settings.is_local
    }

    /// Its addresses.
    pub(super) fn router(&self) -> Router {
        let is_local = self.is_local();
        Router::new()
            .route("/", self.on(Method::GET, OVERVIEW, overview::answer))
            .route("/explain", self.on(Method::GET, EXPLAIN, explain::ask).merge(self.on(Method::POST, EXPLAIN, explain::answer)))
            .route("/grants", self.on(Method::GET, GRANTS, grants::ask).merge(self.on(Method::POST, GRANTS, grants::answer)))
            .route("/revoke", self.on(Method::POST, DRY_RUN, revoke::look))
            .route("/revoke/confirmed", self.on(Method::POST, REVOKE, revoke::answer))
            .route("/style.css", get(|| async { ([(CONTENT_TYPE, "text/css; charset=utf-8")], frame::STYLE) }))
            .route("/icon.svg", get(|| async { ([(CONTENT_TYPE, "image/svg+xml")], frame::ICON) }))
            .method_not_allowed_fallback(|| async {
                let mut answer = refusal(&Fault::at(Edge::MethodNotAllowed), false);
                *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                answer
            })
            .layer(middleware::from_fn(move |request: Request<Body>, next: Next| guard::stand(is_local, request, next)))
    }

    fn on<F>(&self, method: Method, endpoint: Endpoint, answer: fn(Arc<Behind>, Asking) -> F) -> MethodRouter
    where
        F: Future<Output = Result<Sheet, Fault>> + Send + 'static,
    {
        let page = self.clone();
        let handler = move |request: Request<Body>| async move { page.answer(endpoint, request, answer).await };
        if method == Method::POST { post(handler) } else { get(handler) }
    }

    /// Within capacity and deadline; traced and counted.
    async fn answer<F>(&self, endpoint: Endpoint, request: Request<Body>, answer: fn(Arc<Behind>, Asking) -> F) -> Response
    where
        F: Future<Output = Result<Sheet, Fault>> + Send + 'static,
    {
        let (arrived, Behind { capacity, settings, .. }) = (Instant::now(), &*self.0);
        let span = trace::request(settings.sampler, endpoint.name, request.headers());
        let answered = async {
            let _place = capacity.take(endpoint.lane)?;
            let work = self.ask(request, answer);
            within(settings.request_deadline, work).await.unwrap_or_else(|| Err(Fault::of(&Error::DeadlineExceeded)))
        }
        .instrument(span.clone())
        .await;
        let (answer, code) = match answered {
            Ok(answer) => (answer, tonic::Code::Ok),
            Err(fault) => (refusal(&fault, self.0.service.callers().any_by_bearer()), fault.row().code),
        };
        trace::answered(&span, answer.status());
        metrics::request(endpoint.name, code_word(code), arrived.elapsed());
        answer
    }

    async fn ask<F>(&self, request: Request<Body>, answer: fn(Arc<Behind>, Asking) -> F) -> Result<Response, Fault>
    where
        F: Future<Output = Result<Sheet, Fault>> + Send + 'static,
    {
        let Behind { service, clock, settings, .. } = &*self.0;
        let calls = caller::at_a_browser(service, settings.admission, request.headers(), request.extensions());
        let caller = calls.await.map_err(logged)?;
        trace::called_by(&caller.name);
        let is_still = request.uri().query() == Some(frame::STILL);
        let form = if request.method() == Method::POST {
            Asked::read(request, &Certificates::default()).await?.form
        } else {
            Form::default()
        };
        let facts = Facts { issuer: service.issuer(), store: &settings.store, caller: &caller.name, now: clock.now() };
        let answer = answer(Arc::clone(&self.0), Asking { caller: Arc::clone(&caller), form, is_still });
        let sheet = on_behalf(Origin::Page(Arc::clone(&caller)), answer).await?;
        Ok(Html(frame::page(sheet, Some(&facts)).into_string()).into_response())
    }
}

/// A refusal as a page. Browsers are asked for a key where callers are known by keys.
fn refusal(fault: &Fault, has_keys: bool) -> Response {
    metrics::REFUSALS.add(fault.reason.word());
    let row = fault.row();
    let mut answer = (row.http, Html(frame::page(frame::refused(fault), None).into_string())).into_response();
    let headers = answer.headers_mut();
    if fault.reason == Reason::CallerUnauthenticated && has_keys {
        insert(headers, WWW_AUTHENTICATE, "Basic realm=\"jeton\", charset=\"UTF-8\"");
    }
    if let Some(after) = row.retry {
        insert(headers, RETRY_AFTER, &after.as_secs().max(1).to_string());
    }
    answer
}

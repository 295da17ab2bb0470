//! One request through a gateway, asked about in the words of Envoy or of the others. No tests here.

use crate::rfc::Server;
use crate::rfc::raw::{Asking, encoded};
use jeton::transport::grpc::gateways::envoy::config::core::v3::{HeaderMap, HeaderValue, HeaderValueOption};
use jeton::transport::grpc::gateways::envoy::service::auth::v3::attribute_context::{HttpRequest, Peer, Request as Inner};
use jeton::transport::grpc::gateways::envoy::service::auth::v3::authorization_client::AuthorizationClient;
use jeton::transport::grpc::gateways::envoy::service::auth::v3::check_response::HttpResponse;
use jeton::transport::grpc::gateways::envoy::service::auth::v3::{AttributeContext, CheckRequest};
use serde_json::Value;
use std::collections::HashMap;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    Envoy,
    Forward,
}

impl Way {
    pub const BOTH: [Self; 2] = [Self::Envoy, Self::Forward];
}

/// A request in the making.
#[derive(Clone)]
pub struct Request {
    method: String,
    host: String,
    path: String,
    headers: Vec<(String, String)>,
    demands: Vec<(String, String)>,
    certificate: String,
    is_raw: bool,
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Told {
    pub status: u16,
    /// Of the answer to the client where it is denied, else what the service behind is told.
    pub headers: Vec<(String, String)>,
    pub removed: Vec<String>,
    /// What the client is told beside the service's answer.
    pub beside: Vec<(String, String)>,
    pub body: String,
}

/// `GET https://api.example.com/orders`, on a route to `resource`.
pub fn request(resource: &str) -> Request {
    Request {
        method: "GET".into(),
        host: "api.example.com".into(),
        path: "/orders".into(),
        headers: Vec::new(),
        demands: vec![("resource".into(), resource.into())],
        certificate: String::new(),
        is_raw: false,
    }
}

impl Request {
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub fn demand(mut self, name: &str, value: &str) -> Self {
        self.demands.push((name.into(), value.into()));
        self
    }

    pub fn path(mut self, path: &str) -> Self {
        self.path = path.into();
        self
    }

    pub fn host(mut self, host: &str) -> Self {
        self.host = host.into();
        self
    }

    /// What the client showed to Envoy, PEM.
    pub fn certificate(mut self, pem: &str) -> Self {
        self.certificate = encoded(pem).replace('+', "%20");
        self
    }

    /// Whether Envoy tells the headers one by one; else those of one name are joined.
    pub fn raw(mut self, is_raw: bool) -> Self {
        self.is_raw = is_raw;
        self
    }

    pub async fn send(self, server: &Server, way: Way) -> Told {
        match way {
            Way::Envoy => self.check(server).await,
            Way::Forward => self.forward(server).await,
        }
    }

    async fn check(self, server: &Server) -> Told {
        let mut http =
            HttpRequest { method: self.method, scheme: "https".into(), host: self.host, path: self.path, ..Default::default() };
        if self.is_raw {
            let raw = |(key, value): (String, String)| HeaderValue { key, raw_value: value.into(), ..Default::default() };
            http.header_map = Some(HeaderMap { headers: self.headers.into_iter().map(raw).collect() });
        } else {
            let mut joined: HashMap<String, String> = HashMap::from([(":path".into(), http.path.clone())]);
            for (name, value) in self.headers {
                let there = joined.entry(name).or_default();
                *there = if there.is_empty() { value } else { format!("{there},{value}") };
            }
            http.headers = joined;
        }
        let context = AttributeContext {
            source: Some(Peer { certificate: self.certificate }),
            request: Some(Inner { http: Some(http) }),
            context_extensions: self.demands.into_iter().collect(),
        };
        let mut client = AuthorizationClient::connect(format!("http://{}", server.replica.address)).await.unwrap();
        let answer = client.check(CheckRequest { attributes: Some(context) }).await.unwrap().into_inner();
        let is_allowed = answer.status.unwrap().code == 0;
        let set = |options: Vec<HeaderValueOption>| {
            let one = |option: HeaderValueOption| {
                assert_eq!(option.append_action, 2, "it overwrites: {option:?}");
                let header = option.header.unwrap();
                (header.key, header.value)
            };
            options.into_iter().map(one).collect()
        };
        match answer.http_response.unwrap() {
            HttpResponse::OkResponse(ok) => {
                assert!(is_allowed);
                let (headers, beside) = (set(ok.headers), set(ok.response_headers_to_add));
                Told { status: 200, headers, removed: ok.headers_to_remove, beside, body: String::new() }
            }
            HttpResponse::DeniedResponse(denied) => {
                assert!(!is_allowed);
                let status = denied.status.unwrap().code.try_into().unwrap();
                Told { status, headers: set(denied.headers), body: denied.body, ..Told::default() }
            }
        }
    }

    async fn forward(self, server: &Server) -> Told {
        let query: Vec<String> = self.demands.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let mut asking = Asking::get(server.replica.http, &format!("/oauth2/authorize-request?{}", query.join("&")))
            .header("X-Forwarded-Method", &self.method)
            .header("X-Forwarded-Proto", "https")
            .header("X-Forwarded-Host", &self.host)
            .header("X-Forwarded-Uri", &self.path);
        for (name, value) in &self.headers {
            asking = asking.header(name, value);
        }
        let answer = asking.send().await;
        let body = String::from_utf8(answer.body.clone()).unwrap();
        Told { status: answer.status, headers: answer.into_headers(), body, ..Told::default() }
    }
}

impl Told {
    /// What the service behind reads of a header.
    pub fn behind(&self, name: &str) -> Option<&str> {
        assert_eq!(self.status, 200, "{self:?}");
        self.header(name).filter(|value| !value.is_empty())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().chain(&self.beside).filter(|(known, _)| known == name);
        let one = found.next().map(|(_, value)| value.as_str());
        assert!(found.next().is_none(), "{name} is there twice");
        one
    }

    /// The status of a denial, and its challenge.
    #[track_caller]
    pub fn refusal(&self) -> (u16, Option<&str>) {
        assert!(self.status >= 400, "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"));
        (self.status, self.header("www-authenticate"))
    }

    /// The OAuth word of a denial.
    pub fn error(&self) -> String {
        let said: Value = serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        said["error"].as_str().unwrap().to_owned()
    }
}

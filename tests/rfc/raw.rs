//! HTTP as bytes: what no well-behaved client would send can be sent. No tests here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;

/// A request in the making.
pub struct Asking {
    to: SocketAddr,
    line: String,
    headers: String,
    body: Vec<u8>,
    has_type: bool,
    tls: Option<Arc<ClientConfig>>,
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asking {
    pub fn new(to: SocketAddr, method: &str, path: &str) -> Self {
        Self {
            to,
            line: format!("{method} {path} HTTP/1.1\r\n"),
            headers: String::new(),
            body: Vec::new(),
            has_type: false,
            tls: None,
        }
    }

    pub fn post(to: SocketAddr, path: &str) -> Self {
        Self::new(to, "POST", path)
    }

    pub fn get(to: SocketAddr, path: &str) -> Self {
        Self::new(to, "GET", path)
    }

    /// Headers go as they are, in order, as often as they are given.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        write!(self.headers, "{name}: {value}\r\n").unwrap();
        self.has_type |= name.eq_ignore_ascii_case("content-type");
        self
    }

    /// The body of a form, each parameter as often as it is given.
    pub fn form(mut self, fields: &[(&str, &str)]) -> Self {
        let pairs: Vec<String> = fields.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
        self.body = pairs.join("&").into();
        self
    }

    /// A body as it is.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Over TLS, spoken like this.
    pub fn over(mut self, tls: &Arc<ClientConfig>) -> Self {
        self.tls = Some(Arc::clone(tls));
        self
    }

    pub async fn send(self) -> Answer {
        self.try_send().await.unwrap_or_else(|all| panic!("no answer: {all:?}"))
    }

    /// What came back is an answer, or where TLS was refused it is none.
    pub async fn try_send(self) -> Result<Answer, Vec<u8>> {
        let stream = TcpStream::connect(self.to).await.unwrap();
        match &self.tls {
            None => self.send_on(stream).await,
            Some(tls) => {
                let name = self.to.ip().into();
                match TlsConnector::from(Arc::clone(tls)).connect(name, stream).await {
                    Ok(stream) => self.send_on(stream).await,
                    Err(_refused) => Err(Vec::new()),
                }
            }
        }
    }

    async fn send_on(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Result<Answer, Vec<u8>> {
        let form = if self.has_type || self.line.starts_with("GET") {
            ""
        } else {
            "Content-Type: application/x-www-form-urlencoded\r\n"
        };
        let head = format!(
            "{}Host: {}\r\nConnection: close\r\nContent-Length: {}\r\n{form}{}\r\n",
            self.line,
            self.to,
            self.body.len(),
            self.headers
        );
        let _refused = stream.write_all(head.as_bytes()).await;
        // Who refuses by the headers need not read the body.
        let _refused = stream.write_all(&self.body).await;
        let mut all = Vec::new();
        let _reset = stream.read_to_end(&mut all).await;
        Answer::parse(all)
    }
}

/// Everything that is answered to these bytes on one connection, which the server must end.
pub async fn answers(to: SocketAddr, bytes: &[u8]) -> Vec<Answer> {
    let mut stream = TcpStream::connect(to).await.unwrap();
    // Who refuses by the headers need not read what follows.
    let _refused = stream.write_all(bytes).await;
    let mut all = Vec::new();
    let ended = tokio::time::timeout(Duration::from_secs(60), stream.read_to_end(&mut all)).await;
    assert!(ended.is_ok(), "the connection stays open after {:?}", String::from_utf8_lossy(&all));
    let mut answers = Vec::new();
    while !all.is_empty() {
        let mut answer = Answer::parse(all.clone()).unwrap_or_else(|all| panic!("no answer: {all:?}"));
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        let head = all.len() - answer.body.len();
        all.drain(..head + length);
        answer.body.truncate(length);
        answers.push(answer);
    }
    answers
}

impl Answer {
    fn parse(all: Vec<u8>) -> Result<Self, Vec<u8>> {
        let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") else { return Err(all) };
        let head = std::str::from_utf8(&all[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let header = |line: &str| {
            let (name, value) = line.split_once(':').unwrap();
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        let headers = lines.map(header).collect();
        Ok(Self { status, headers, body: all[end + 4..].to_vec() })
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        let one = found.next();
        assert_eq!(found.next(), None, "{name} is there twice");
        one
    }

    pub fn into_headers(self) -> Vec<(String, String)> {
        self.headers
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The OAuth word of a refusal, which is as every refusal must be (RFC 6749 section 5.2).
    #[track_caller]
    pub fn refusal(&self) -> (u16, String) {
        assert!(self.status >= 400, "{self:?}");
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("content-type"), Some("application/json"));
        let body = self.json();
        let text = body["error_description"].as_str().unwrap();
        let allowed = |b: u8| matches!(b, 0x20 | 0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        assert!(!text.is_empty() && text.bytes().all(allowed), "{text:?}");
        (self.status, body["error"].as_str().unwrap().to_owned())
    }

    /// Tokens that nobody may store (RFC 6749 section 5.1).
    #[track_caller]
    pub fn tokens(&self) -> Value {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        assert_eq!(self.header("cache-control"), Some("no-store"));
        assert_eq!(self.header("pragma"), Some("no-cache"));
        assert_eq!(self.header("content-type"), Some("application/json"));
        self.json()
    }
}

/// `Authorization: Basic` of a client, name and secret form-encoded first (RFC 6749 section 2.3.1).
pub fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{}:{}", encoded(id), encoded(secret))))
}

/// `application/x-www-form-urlencoded`.
pub fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => encoded.push(byte.into()),
            b' ' => encoded.push('+'),
            _ => write!(encoded, "%{byte:02X}").unwrap(),
        }
    }
    encoded
}

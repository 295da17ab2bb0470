//! How lines prove each other. Each ends with a MAC over itself and the MAC of the line before; a process begins a chain of its own, and
//! says which one it follows.
//!
//! ```json
//! {"chain":"..","seq":2,"time":"..","action":"issue", .. ,"mac":".."}
//! ```
//!
//! The MAC is over the text of the line before `,"mac":`, after the 32 bytes of the MAC before it; zeros for the first. The format never
//! changes; `version` of the first line of a chain says which it is.

use crate::random;
use crate::roots::AuditKey;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;

/// How every line begins.
pub const BEGINS: &str = "{\"chain\":\"";
/// What the MAC begins with.
const MAC: &str = ",\"mac\":\"";
/// The first line of a chain.
pub(super) const BEGIN: &str = "begin";
/// Its last, where its process ended as it should.
pub(super) const END: &str = "end";
/// The format.
const VERSION: u8 = 1;

/// Before the first line.
pub(super) const NOTHING: [u8; 32] = [0; 32];

/// The last line of the chain before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Follows {
    pub(super) chain: String,
    pub(super) seq: u64,
    pub(super) mac: String,
}

/// A chain that is being written.
#[derive(Clone)]
pub(super) struct Chain {
    key: Arc<AuditKey>,
    id: String,
    seq: u64,
    last: [u8; 32],
}

impl Chain {
    /// Begins one. Answers its first line too. `torn`: so many bytes of a line that a process did not finish stand before it.
    ///
    /// # Errors
    /// No randomness.
    pub(super) fn begin(key: Arc<AuditKey>, time: &str, follows: Option<&Follows>, torn: usize) -> io::Result<(Self, String)> {
        let id = random::bytes::<9>().map_err(|problem| io::Error::other(problem.to_string()))?;
        let root_key = key.id();
        let mut chain = Self { key, id: URL_SAFE_NO_PAD.encode(id), seq: 0, last: NOTHING };
        let follows = serde_json::to_string(&follows)?;
        let line = chain.seal(&format!(
            "\"time\":\"{time}\",\"action\":\"{BEGIN}\",\"version\":{VERSION},\"root_key\":\"{root_key}\",\"follows\":{follows},\"torn_bytes\":{torn}"
        ));
        Ok((chain, line))
    }

    /// The next line, with its end.
    pub(super) fn seal(&mut self, members: &str) -> String {
        self.seq = self.seq.saturating_add(1);
        let mut line = format!("{BEGINS}{}\",\"seq\":{},{members}", self.id, self.seq);
        self.last = self.key.proof(&self.last, line.as_bytes());
        line.push_str(MAC);
        line.push_str(&URL_SAFE_NO_PAD.encode(self.last));
        line.push_str("\"}\n");
        line
    }

    /// What a chain says that comes after this one.
    pub(super) fn last(&self) -> Follows {
        Follows { chain: self.id.clone(), seq: self.seq, mac: URL_SAFE_NO_PAD.encode(self.last) }
    }
}

/// A line, read.
#[derive(Debug, Deserialize)]
pub(super) struct Line {
    pub(super) chain: String,
    pub(super) seq: u64,
    pub(super) time: String,
    pub(super) action: String,
    mac: String,
    pub(super) root_key: Option<String>,
    pub(super) follows: Option<Follows>,
    #[serde(default)]
    pub(super) torn_bytes: usize,
    /// Of a line that says how many were lost.
    #[serde(default)]
    pub(super) lines: u64,
    #[serde(default)]
    pub(super) trace_id: String,
}

impl Line {
    /// Without its end. None: no line of ours. What is told of one has nothing in it that is not seen, whoever changed the file.
    pub(super) fn read(text: &[u8]) -> Option<Self> {
        let line: Self = serde_json::from_slice(text).ok()?;
        let is_seen = |text: &String| text.bytes().all(|byte| byte.is_ascii_graphic());
        let follows = line.follows.as_ref().map(|follows| &follows.chain);
        let is_plain = [&line.chain, &line.time].into_iter().chain(&line.root_key).chain(follows).all(is_seen);
        is_plain.then_some(line)
    }

    /// Its MAC, and what that is over.
    pub(super) fn proof<'t>(&self, text: &'t [u8]) -> Option<([u8; 32], &'t [u8])> {
        let mac = URL_SAFE_NO_PAD.decode(&self.mac).ok()?.try_into().ok()?;
        let end = text.len().checked_sub(MAC.len() + self.mac.len() + 2)?;
        let (proved, rest) = text.split_at_checked(end)?;
        (rest == format!("{MAC}{}\"}}", self.mac).as_bytes()).then_some((mac, proved))
    }

    /// What a chain says that comes after this line.
    pub(super) fn as_last(&self) -> Follows {
        Follows { chain: self.chain.clone(), seq: self.seq, mac: self.mac.clone() }
    }
}

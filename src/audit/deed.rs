//! What a line says: an action, who was behind it, and what it concerned. Tokens, subjects and sessions by their keyed hash.

use super::{ORIGIN, Origin, Stream};
use crate::roots::Hidden;
use crate::telemetry::trace;
use jeton_domain::error::{Error, Result};
use jeton_domain::id::GrantId;
use jeton_domain::name::{ClientId, SessionId, Subject};
use jeton_domain::secret::{SecretText, shown};
use jeton_domain::target::Target;
use jeton_domain::time::{Timestamp, utc};
use std::fmt::Write as _;
use std::mem;

/// The most of a text that a line repeats, in bytes.
const MAX_TEXT_BYTES: usize = 512;

macro_rules! actions {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal,)+) => {
        /// What was done.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Action {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Action {
            /// Every one.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word for it in the stream and in metrics.
            #[must_use]
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)+
                }
            }
        }
    };
}

actions! {
    /// Tokens were issued.
    Issue = "issue",
    /// An authorization code was made.
    CreateCode = "create_code",
    /// An authorization code was redeemed.
    RedeemCode = "redeem_code",
    /// A device began to ask.
    StartDevice = "start_device",
    /// A user allowed a device what it asks for.
    ApproveDevice = "approve_device",
    /// A user refused a device.
    DenyDevice = "deny_device",
    /// A device was handed its tokens.
    RedeemDevice = "redeem_device",
    /// A refresh token was presented: tokens were handed out, or its grant was ended for how it was used.
    Refresh = "refresh",
    /// A token was exchanged for another.
    Exchange = "exchange",
    /// Something was revoked.
    Revoke = "revoke",
    /// A grant was ended to make room for another of its subject.
    Evict = "evict",
    /// An operator asked about a token.
    Explain = "explain",
    /// Grants were read.
    ReadGrants = "read_grants",
    /// A client was registered.
    CreateClient = "create_client",
    /// A client was changed.
    UpdateClient = "update_client",
    /// A client was deleted.
    DeleteClient = "delete_client",
    /// A client was given another secret.
    RotateClientSecret = "rotate_client_secret",
    /// A resource was registered.
    CreateResource = "create_resource",
    /// A resource was changed.
    UpdateResource = "update_resource",
    /// A resource was deleted.
    DeleteResource = "delete_resource",
    /// A signing key was told to take over.
    RotateKey = "rotate_key",
    /// The log was taken as it is after a restore.
    AcceptLog = "accept_log",
}

/// What was done, being told. One that is under way says so where it is dropped untold: who asked for it went away, or the time was over.
#[must_use = "nothing is told before `tell`"]
pub struct Deed<'a> {
    stream: &'a Stream,
    action: Action,
    members: String,
    is_under_way: bool,
}

impl<'a> Deed<'a> {
    pub(super) fn new(stream: &'a Stream, action: Action) -> Self {
        let members = format!("\"time\":\"{}\",\"action\":\"{}\"", written(stream.clock.now()), action.word());
        let deed = Self { stream, action, members, is_under_way: false };
        let deed = match ORIGIN.try_with(Clone::clone) {
            Ok(Origin::Caller(caller)) => deed.text("by", "grpc").text("caller", &caller.name),
            Ok(Origin::Page(caller)) => deed.text("by", "page").text("caller", &caller.name),
            Ok(Origin::Http) => deed.text("by", "http"),
            Err(_outside) => deed.text("by", "jeton"),
        };
        match trace::current_trace_id() {
            Some(trace) => deed.text("trace_id", &trace),
            None => deed,
        }
    }

    /// Which client acted, or is concerned.
    pub fn client(self, client: &ClientId) -> Self {
        self.text("client_id", client.as_str())
    }

    /// Whose, by a keyed hash.
    pub fn subject(self, subject: &Subject) -> Self {
        self.hash("subject", Hidden::Subject, subject.as_str())
    }

    /// Which grant.
    pub fn grant(self, grant: Option<GrantId>) -> Self {
        match grant {
            Some(grant) => self.text("grant_id", &grant.to_string()),
            None => self,
        }
    }

    /// Which session, by a keyed hash.
    pub fn session(self, session: Option<&SessionId>) -> Self {
        match session {
            Some(session) => self.hash("session", Hidden::Session, session.as_str()),
            None => self,
        }
    }

    /// What was revoked.
    pub fn target(self, target: &Target) -> Self {
        let deed = self.text("kind", target.word());
        match target {
            Target::Token { jti } => deed.text("jti", jti),
            Target::Grant(grant) => deed.grant(Some(*grant)),
            Target::Session(session) => deed.session(Some(session)),
            Target::Subject(subject) => deed.subject(subject),
            Target::Client(client) => deed.client(client),
            Target::Consent(subject, client) => deed.subject(subject).client(client),
            Target::SigningKey { kid } => deed.text("kid", kid),
            Target::RootKey(key) => deed.text("root_key_id", &key.to_string()),
        }
    }

    /// The token that was presented, by its keyed hash.
    pub fn presented(self, token: &SecretText) -> Self {
        self.hash("presented", Hidden::Token, token.expose())
    }

    /// The tokens, codes or secrets that were handed out, by their keyed hashes.
    pub fn handed_out<'t>(mut self, tokens: impl IntoIterator<Item = &'t SecretText>) -> Self {
        let hashes: Vec<String> =
            tokens.into_iter().map(|token| format!("\"{}\"", self.stream.hash(Hidden::Token, token.expose()))).collect();
        if !hashes.is_empty() {
            let _infallible = write!(self.members, ",\"handed_out\":[{}]", hashes.join(","));
        }
        self
    }

    /// Another member: a word of ours, or a name that no one's privacy hangs on.
    pub fn text(mut self, name: &'static str, text: &str) -> Self {
        let text = text.get(..text.floor_char_boundary(MAX_TEXT_BYTES)).unwrap_or_default();
        // A token may have been put into the place of a name.
        let _infallible = write!(self.members, ",\"{name}\":{}", serde_json::Value::from(shown(text)));
        self
    }

    fn hash(self, name: &'static str, of: Hidden, text: &str) -> Self {
        let hash = self.stream.hash(of, text);
        self.text(name, &hash)
    }

    /// Does it. From then on it is told whatever comes, as `unknown` where `tell` is not reached; unless `work` is refused, for then nothing
    /// was done.
    ///
    /// # Errors
    /// As `work`.
    pub fn while_doing<T>(deed: &mut Option<Self>, work: impl Future<Output = Result<T>>) -> impl Future<Output = Result<T>> {
        // What is done is large, and would be held here once more.
        let work = Box::pin(work);
        async move {
            let now_under_way = |deed: &mut Option<Self>, is| deed.iter_mut().for_each(|deed| deed.is_under_way = is);
            now_under_way(deed, true);
            let done = work.await;
            now_under_way(deed, done.as_ref().err().is_none_or(may_be_done));
            done
        }
    }

    /// Hands it to the writer. Never waits.
    pub fn tell(mut self) {
        self.is_under_way = false;
        self.hand_over();
    }

    fn hand_over(&mut self) {
        self.stream.tell(self.action, mem::take(&mut self.members));
    }
}

impl Drop for Deed<'_> {
    fn drop(&mut self) {
        if self.is_under_way {
            self.members.push_str(",\"outcome\":\"unknown\"");
            self.hand_over();
        }
    }
}

/// Whether what failed so may have been done all the same: the store was asked.
const fn may_be_done(problem: &Error) -> bool {
    matches!(
        problem,
        Error::StoreUnavailable(_)
            | Error::NotDurable(_)
            | Error::RevokedNotDurable(_)
            | Error::Healing
            | Error::Restored(_)
            | Error::ShardRestored(_)
            | Error::Internal(_)
    )
}

/// A moment, to the millisecond.
pub(super) fn written(at: Timestamp) -> String {
    let whole = utc(i64::try_from(at.secs()).unwrap_or(i64::MAX));
    format!("{}.{:03}Z", whole.trim_end_matches('Z'), at.millis() % 1_000)
}

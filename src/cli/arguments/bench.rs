//! The arguments of `jeton bench`.

use super::Output;
use clap::{Args, ValueEnum};

/// `jeton bench`
#[derive(Args, Clone, Debug)]
pub struct BenchArguments {
    /// What to measure; several with commas between them
    #[arg(long, value_enum, value_delimiter = ',', default_value = "all", value_name = "WHAT")]
    pub operation: Vec<BenchOperation>,
    /// Connections
    #[arg(long, default_value_t = 8, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub connections: u32,
    /// Requests under way at once on each connection
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub concurrency: u32,
    /// Seconds a round takes at most
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub seconds: u32,
    /// Rounds of each operation
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rounds: u32,
    /// Grants issued beforehand, whose tokens are refreshed, introspected or revoked; a round ends when they are used up
    #[arg(long, default_value_t = 20_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    pub grants: u32,
    /// Of them so many at most are introspected again and again, where that is measured
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub known: u32,
    /// Further grants issued beforehand, which nobody asks for. Several numbers, each at least the one before: all is measured at each
    #[arg(long, default_value = "0", value_delimiter = ',', value_name = "N,...", value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    pub other_grants: Vec<u32>,
    /// Grants revoked beforehand, of which the server then has to know; with --server-pid they are settled, too, before anything is
    /// measured. Several numbers as with --other-grants, side by side with those
    #[arg(long, default_value = "0", value_delimiter = ',', value_name = "N,...", value_parser = clap::value_parser!(u32).range(0..=10_000_000))]
    pub revocations: Vec<u32>,
    /// Streams of revocations that stay open meanwhile, each asking for a proof of freshness twice a second
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub watchers: u32,
    /// Revocations a second beside what is measured, which the streams are told of; their CPU time is counted with it
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub trickle: u32,
    /// The server's `tokens.overlap` in seconds: no grant is refreshed twice within it, for that would rotate nothing
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=60))]
    pub overlap: u32,
    /// The server's process on this machine, whose CPU time is counted
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(u32).range(1..))]
    pub server_pid: Option<u32>,
    /// Compare with the no-op that the server offers at this address (`serve --noop-listen`), in alternating rounds
    #[cfg(feature = "bench")]
    #[arg(long, value_name = "URL")]
    pub noop: Option<String>,
    /// The server's gRPC address, in plain text and where no caller is configured: no certificate or key is shown
    #[arg(long, env = "JETON_SERVER", default_value = "http://127.0.0.1:50051", value_name = "URL")]
    pub server: String,
    /// The gRPC address of another replica on the same store, for `enforcement`; may be repeated
    #[arg(long, value_name = "URL")]
    pub replica: Vec<String>,
    /// Requests a second to each replica beside `enforcement`, a quarter for each of the four operations
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    pub load: u32,
    /// The server's `limits.concurrency`, for `overload`
    #[arg(long, default_value_t = 1_024, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub places: u32,
    /// Milliseconds between an answer and the next question to a replica in `enforcement`; without a pause the questions keep a core busy
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub pause: u32,
    /// A table for people, or JSON for scripts
    #[arg(long, value_enum, default_value_t = Output::Table, value_name = "FORM")]
    pub output: Output,
}

/// What `bench` measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum BenchOperation {
    /// Issue: a JWT signed with EdDSA, and a refresh token
    Issue,
    /// Refresh: every grant in turn with its newest token, so that each rotates
    Refresh,
    /// Introspect JWTs, each for the first time
    IntrospectJwt,
    /// Introspect opaque access tokens, each for the first time
    IntrospectOpaque,
    /// Introspect JWTs again and again
    IntrospectCached,
    /// Introspect opaque access tokens again and again
    IntrospectOpaqueCached,
    /// Revoke refresh tokens, each once
    Revoke,
    /// All of these, one after another
    All,
    /// Revoke everything of a client that has so many grants, all at once; then every token of theirs is introspected
    RevokeClient,
    /// Register as many clients as there are `--grants`, each once
    RegisterClients,
    /// How soon what one replica acknowledged as revoked is inactive on the others
    Enforcement,
    /// Issue to as many callers as the server has places, then to twice and five times as many
    Overload,
    /// Nothing: only what is to be there beforehand is made
    Nothing,
}

impl BenchOperation {
    /// Whether `all` means it, too.
    const fn is_of_all(self) -> bool {
        !matches!(
            self,
            Self::All | Self::RevokeClient | Self::RegisterClients | Self::Enforcement | Self::Overload | Self::Nothing
        )
    }
}

impl BenchArguments {
    /// What is measured, each once, in the order in which it is told.
    pub fn operations(&self) -> impl Iterator<Item = BenchOperation> {
        let is_asked = |operation| self.operation.contains(&operation);
        let all = BenchOperation::value_variants().iter().copied();
        all.filter(move |operation| is_asked(*operation) || is_asked(BenchOperation::All) && operation.is_of_all())
            .filter(|operation| *operation != BenchOperation::All)
    }

    /// How many further grants and revocations are there, one after another; the shorter of both lists goes on with its last number.
    pub fn sizes(&self) -> impl Iterator<Item = (u32, u32)> {
        let (grants, revocations) = (&self.other_grants, &self.revocations);
        let at = |list: &[u32], at: usize| list.get(at).or(list.last()).copied().unwrap_or_default();
        (0..grants.len().max(revocations.len())).map(move |size| (at(grants, size), at(revocations, size)))
    }
}

//! `jeton bench`: a closed loop of requests against a running server, measured.
//!
//! Lives here: which rounds are run in which order. Below: `load` (the loop), `work` (what is called), `server` (what the
//! server spends on it), `report` (sums and tables), `progress`.

mod load;
mod progress;
mod report;
mod server;
mod work;

use super::arguments::{BenchArguments, BenchOperation, Output};
use super::call::print;
use super::escape;
use super::failure::{Exit, Failure};
use jeton_domain::error::Error;
use load::{Links, Ran, Work};
use progress::Progress;
use report::{Report, Series};
use server::Server;
use std::sync::Arc;
use std::time::Duration;
use work::{Format, Introspect, Issue, Issued, Operation, Refresh, Revoke, RevokeGrants};

/// What goes before the first round of an operation, so that both sides have allocated what they need.
const WARM_UP: Duration = Duration::from_millis(200);
/// What is prepared for a round must be there within this time.
const PREPARING: Duration = Duration::from_secs(600);
/// Distinct tokens that Introspect is asked for again and again, at most. Made anew for each round, so that none expires.
const KNOWN: usize = 10_000;

/// Measures and prints.
///
/// # Errors
/// The command line, a server that cannot be reached or refuses what the measurement needs. Errors while measuring are
/// counted, shown, and make the exit code 1.
pub(super) async fn run(arguments: &BenchArguments) -> Result<Exit, Failure> {
    let bench = Bench::new(arguments).await?;
    let reports = bench.operations(arguments.operation).await;
    bench.progress.clear();
    let reports = reports?;
    match arguments.output {
        Output::Table => print(&escape_lines(&bench.table(&reports)))?,
        Output::Json => {
            let reports: Vec<_> = reports.iter().map(Report::json).collect();
            print(&escape::in_json(&format!("{:#}\n", serde_json::json!({ "operations": reports }))))?
        }
    };
    Ok(if reports.iter().all(Report::is_right) { Exit::Ok } else { Exit::Refused })
}

/// What servers say must not act on the terminal; our own line ends must.
fn escape_lines(text: &str) -> String {
    text.lines().map(|line| escape::for_terminal(line) + "\n").collect()
}

struct Bench<'a> {
    arguments: &'a BenchArguments,
    links: Links,
    server: Option<Server>,
    #[cfg(feature = "bench")]
    noop: Option<Links>,
    progress: Progress,
}

impl<'a> Bench<'a> {
    async fn new(arguments: &'a BenchArguments) -> Result<Self, Failure> {
        let BenchArguments { connections, concurrency, .. } = *arguments;
        Ok(Self {
            arguments,
            server: arguments.server_pid.map(Server::new).transpose()?,
            links: Links::connect(&arguments.server, connections, concurrency).await?,
            #[cfg(feature = "bench")]
            noop: match &arguments.noop {
                Some(url) => Some(Links::connect(url, connections, concurrency).await?),
                None => None,
            },
            progress: Progress::new(),
        })
    }

    async fn operations(&self, which: BenchOperation) -> Result<Vec<Report>, Failure> {
        let all = [
            BenchOperation::Issue,
            BenchOperation::Refresh,
            BenchOperation::IntrospectJwt,
            BenchOperation::IntrospectOpaque,
            BenchOperation::IntrospectCached,
            BenchOperation::IntrospectOpaqueCached,
            BenchOperation::Revoke,
        ];
        self.prepare().await?;
        let mut reports = Vec::new();
        for operation in all {
            if which == operation || which == BenchOperation::All {
                reports.push(self.operation(operation).await?);
            }
        }
        Ok(reports)
    }

    async fn operation(&self, operation: BenchOperation) -> Result<Report, Failure> {
        let grants = usize::try_from(self.arguments.grants).unwrap_or(usize::MAX);
        let known = grants.min(KNOWN);
        match operation {
            BenchOperation::Issue | BenchOperation::All => {
                let work = Arc::new(Issue::endless().map_err(no_randomness)?);
                self.rounds("issue", async || Ok(Arc::clone(&work))).await
            }
            BenchOperation::Refresh => {
                let overlap = Duration::from_secs(self.arguments.overlap.into());
                let work = Arc::new(Refresh::new(self.issued(grants, Format::Jwt).await?, overlap));
                self.rounds("refresh", async || Ok(Arc::clone(&work))).await
            }
            BenchOperation::IntrospectJwt => {
                let work = async || Ok(Arc::new(Introspect::once(self.issued(grants, Format::Jwt).await?)));
                self.rounds("introspect-jwt", work).await
            }
            BenchOperation::IntrospectOpaque => {
                let work = async || Ok(Arc::new(Introspect::once(self.issued(grants, Format::Opaque).await?)));
                self.rounds("introspect-opaque", work).await
            }
            BenchOperation::IntrospectCached => {
                self.rounds("introspect-cached", async || self.known(known, Format::Jwt).await).await
            }
            BenchOperation::IntrospectOpaqueCached => {
                self.rounds("introspect-opaque-cached", async || self.known(known, Format::Opaque).await).await
            }
            BenchOperation::Revoke => {
                let work = async || Ok(Arc::new(Revoke::new(self.issued(grants, Format::Jwt).await?)));
                self.rounds("revoke", work).await
            }
        }
    }

    /// Tokens of so many new grants.
    async fn issued(&self, count: usize, format: Format) -> Result<Vec<Issued>, Failure> {
        let issue = Arc::new(Issue::keeping(count, format).map_err(no_randomness)?);
        self.progress.begin(format!("issuing {count} grants"), PREPARING);
        self.links.run_well(&issue, PREPARING, &self.progress).await?;
        Ok(issue.kept())
    }

    /// So many access tokens, of which the server was asked for each once.
    async fn known(&self, count: usize, format: Format) -> Result<Arc<Introspect>, Failure> {
        let once = Arc::new(Introspect::once(self.issued(count, format).await?));
        self.progress.begin(format!("introspecting {count} tokens"), PREPARING);
        self.links.run_well(&once, PREPARING, &self.progress).await?;
        Ok(Arc::new(once.again()))
    }

    /// Fills the server with what is to be there besides.
    async fn prepare(&self) -> Result<(), Failure> {
        let BenchArguments { other_grants, revocations, .. } = *self.arguments;
        if other_grants > 0 {
            let issue = Arc::new(Issue::some(usize::try_from(other_grants).unwrap_or(usize::MAX)).map_err(no_randomness)?);
            self.progress.begin(format!("issuing {other_grants} other grants"), PREPARING);
            self.links.run_well(&issue, PREPARING, &self.progress).await?;
        }
        if revocations > 0 {
            let revoke = Arc::new(RevokeGrants::new(usize::try_from(revocations).unwrap_or(usize::MAX)));
            self.progress.begin(format!("revoking {revocations} grants"), PREPARING);
            self.links.run_well(&revoke, PREPARING, &self.progress).await?;
        }
        if let Some(server) = self.server.filter(|_| other_grants > 0 || revocations > 0) {
            self.progress.begin("waiting until the server is idle".into(), PREPARING);
            server.idle().await?;
        }
        Ok(())
    }

    /// The rounds of an operation, each after one of the no-op where there is one.
    async fn rounds<W: Operation>(
        &self,
        name: &'static str,
        work: impl AsyncFn() -> Result<Arc<W>, Failure>,
    ) -> Result<Report, Failure> {
        let first = work().await?;
        self.progress.begin(format!("{name}: warming up"), WARM_UP);
        self.links.run_well(&first, WARM_UP, &self.progress).await?;
        let sizes = first.sizes();
        let mut report = Report { operation: name, sizes, series: Series::new(), noop: None };
        for round in 1..=self.arguments.rounds {
            let work = work().await?;
            self.rest(name, work.rest()).await;
            self.noop_round(&mut report, round).await?;
            let (ran, cpu) = self.round(&self.links, &work, name, round).await?;
            report.series.add(ran, cpu);
        }
        Ok(report)
    }

    async fn rest(&self, name: &str, rest: Duration) {
        self.progress.begin(format!("{name}: waiting for the overlap to pass"), rest);
        tokio::time::sleep(rest).await;
    }

    #[cfg(feature = "bench")]
    async fn noop_round(&self, report: &mut Report, round: u32) -> Result<(), Failure> {
        let Some(links) = &self.noop else { return Ok(()) };
        let noop = Arc::new(work::Noop::like(report.sizes.unwrap_or_default()));
        if round == 1 {
            links.run_well(&noop, WARM_UP, &self.progress).await?;
        }
        let (ran, cpu) = self.round(links, &noop, "no-op", round).await?;
        report.noop.get_or_insert_with(Series::new).add(ran, cpu);
        Ok(())
    }

    #[cfg(not(feature = "bench"))]
    #[expect(clippy::unused_async, reason = "a build without the no-op")]
    async fn noop_round(&self, _report: &mut Report, _round: u32) -> Result<(), Failure> {
        Ok(())
    }

    async fn round<W: Work>(
        &self,
        links: &Links,
        work: &Arc<W>,
        name: &str,
        round: u32,
    ) -> Result<(Ran, Option<Duration>), Failure> {
        let span = Duration::from_secs(self.arguments.seconds.into());
        self.progress.begin(format!("{name}: round {round} of {}", self.arguments.rounds), span);
        let counting = self.server.map(Server::count).transpose()?;
        let ran = links.run(work, span, &self.progress).await?;
        let cpu = counting.map(|counting| counting.stop()).transpose()?;
        Ok((ran, cpu))
    }

    fn table(&self, reports: &[Report]) -> String {
        let BenchArguments { connections, concurrency, rounds, seconds, .. } = self.arguments;
        let mut text = format!(
            "{connections} connections, {concurrency} requests under way on each, {rounds} rounds of at most {seconds} s (minimum/median/maximum)\n"
        );
        if self.server.is_none() {
            text.push_str("the server's CPU was not measured: --server-pid names its process\n");
        }
        for report in reports {
            text.push('\n');
            text.push_str(&report.table());
        }
        text
    }
}

fn no_randomness(error: Error) -> Failure {
    Failure::local(error.to_string(), "without randomness no subject can be named that no other run has")
}

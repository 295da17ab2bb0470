//! `jeton bench`: a closed loop of requests against a running server, measured.
//!
//! Lives here: which rounds are run in which order. Below: `load` (the loop), `work` (what is called), `server` (what the
//! server spends on it), `report` (sums and tables), `enforcement` (how soon replicas follow each other) with its `enforced`, `overload`
//! (what is left beyond capacity), `watchers` (streams beside it all), `progress`.

mod columns;
mod enforced;
mod enforcement;
mod load;
mod overload;
mod progress;
mod report;
mod server;
mod watchers;
mod work;

use super::arguments::{BenchArguments, BenchOperation, Output};
use super::call::print;
use super::escape;
use super::failure::{Exit, Failure};
use enforced::Enforced;
use futures_util::future::try_join;
use jeton_domain::error::Error;
use load::{Links, Ran, Work};
use overload::Overload;
use progress::Progress;
use report::Report;
use server::Server;
use std::sync::Arc;
use std::time::{Duration, Instant};
use watchers::Watchers;
use work::{Format, Introspect, Issue, Issued, Operation, Refresh, RegisterClients, Revoke, RevokeClient, RevokeGrants};

/// What goes before the first round of an operation, so that both sides have allocated what they need.
const WARM_UP: Duration = Duration::from_millis(200);
/// What is prepared for a round must be there within this time.
const PREPARING: Duration = Duration::from_secs(3_600);
/// For how long tokens are introspected again and again in further rounds: they live for five minutes.
const KNOWN_FOR: Duration = Duration::from_secs(120);

/// Measures and prints.
///
/// # Errors
/// The command line, a server that cannot be reached or refuses what the measurement needs. Errors while measuring are
/// counted, shown, and make the exit code 1.
pub(super) async fn run(arguments: &BenchArguments) -> Result<Exit, Failure> {
    let bench = Bench::new(arguments).await?;
    let measured = bench.measured().await;
    bench.progress.clear();
    let Measured { reports, enforced, overload } = measured?;
    match arguments.output {
        Output::Table => print(&escape_lines(&bench.table(&reports, enforced.as_ref(), overload.as_ref())))?,
        Output::Json => {
            let reports: Vec<_> = reports.iter().map(Report::json).collect();
            let told = serde_json::json!({ "operations": reports, "enforcement": enforced.as_ref().map(Enforced::json),
                "overload": overload.as_ref().map(Overload::json) });
            print(&escape::in_json(&format!("{told:#}\n")))?
        }
    };
    let is_right = reports.iter().all(Report::is_right)
        && enforced.as_ref().is_none_or(Enforced::is_right)
        && overload.as_ref().is_none_or(Overload::is_right);
    Ok(if is_right { Exit::Ok } else { Exit::Refused })
}

/// What servers say must not act on the terminal; our own line ends must.
fn escape_lines(text: &str) -> String {
    text.lines().map(|line| escape::for_terminal(line) + "\n").collect()
}

/// What came of it.
struct Measured {
    reports: Vec<Report>,
    enforced: Option<Enforced>,
    overload: Option<Overload>,
}

struct Bench<'a> {
    arguments: &'a BenchArguments,
    links: Links,
    server: Option<Server>,
    #[cfg(feature = "bench")]
    noop: Option<Links>,
    /// Revokes at a pace beside what is measured.
    trickle: Option<Links>,
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
            trickle: match arguments.trickle {
                0 => None,
                rate => Some(Links::connect(&arguments.server, 1, 1).await?.paced(rate)),
            },
            progress: Progress::new(),
        })
    }

    async fn measured(&self) -> Result<Measured, Failure> {
        self.progress.begin(format!("opening {} streams", self.arguments.watchers), PREPARING);
        let mut watchers = Watchers::open(&self.arguments.server, self.arguments.watchers).await?;
        let is_asked = |asked| self.arguments.operations().any(|operation| operation == asked);
        let reports = self.operations().await?;
        watchers.are_open()?;
        let enforced = if is_asked(BenchOperation::Enforcement) { Some(self.enforcement().await?) } else { None };
        let overload = if is_asked(BenchOperation::Overload) { Some(self.overload().await?) } else { None };
        Ok(Measured { reports, enforced, overload })
    }

    /// Measures what was asked for, at one size after another.
    async fn operations(&self) -> Result<Vec<Report>, Failure> {
        let mut reports = Vec::new();
        let mut there = (0, 0);
        for size in self.arguments.sizes() {
            self.fill(there, size).await?;
            there = size;
            for operation in self.arguments.operations() {
                if let Some(report) = self.operation(operation).await? {
                    reports.push(Report { beside: size, ..report });
                }
            }
        }
        Ok(reports)
    }

    /// None where nothing is measured of the server alone.
    async fn operation(&self, operation: BenchOperation) -> Result<Option<Report>, Failure> {
        let grants = to_usize(self.arguments.grants);
        let mut known = None;
        Ok(Some(match operation {
            BenchOperation::Issue => {
                let work = Arc::new(Issue::endless().map_err(no_randomness)?);
                self.rounds("issue", async || Ok(Arc::clone(&work))).await?
            }
            BenchOperation::Refresh => {
                let overlap = Duration::from_secs(self.arguments.overlap.into());
                let work = Arc::new(Refresh::new(self.issued(grants, Format::Jwt).await?, overlap));
                self.rounds("refresh", async || Ok(Arc::clone(&work))).await?
            }
            BenchOperation::IntrospectJwt => {
                let work = async || Ok(Arc::new(Introspect::once(self.issued(grants, Format::Jwt).await?)));
                self.rounds("introspect-jwt", work).await?
            }
            BenchOperation::IntrospectOpaque => {
                let work = async || Ok(Arc::new(Introspect::once(self.issued(grants, Format::Opaque).await?)));
                self.rounds("introspect-opaque", work).await?
            }
            BenchOperation::IntrospectCached => {
                self.rounds("introspect-cached", async || self.known(&mut known, Format::Jwt).await).await?
            }
            BenchOperation::IntrospectOpaqueCached => {
                self.rounds("introspect-opaque-cached", async || self.known(&mut known, Format::Opaque).await).await?
            }
            BenchOperation::Revoke => {
                let work = async || Ok(Arc::new(Revoke::new(self.issued(grants, Format::Jwt).await?)));
                self.rounds("revoke", work).await?
            }
            BenchOperation::RevokeClient => self.revoke_client(grants).await?,
            BenchOperation::RegisterClients => self.register_clients(grants).await?,
            BenchOperation::All | BenchOperation::Enforcement | BenchOperation::Overload | BenchOperation::Nothing => {
                return Ok(None);
            }
        }))
    }

    /// Tokens of so many new grants.
    async fn issued(&self, count: usize, format: Format) -> Result<Vec<Issued>, Failure> {
        let make = |count| Issue::keeping(count, format).map_err(no_randomness);
        let issue = self.make(format!("issuing {count} grants"), count, make).await?;
        Ok(issue.iter().flat_map(|issue| issue.kept()).collect())
    }

    /// Many access tokens, of which the server was asked for each once; those of before while they live for long enough.
    async fn known(&self, known: &mut Option<(Instant, Arc<Introspect>)>, format: Format) -> Result<Arc<Introspect>, Failure> {
        if let Some((_, work)) = known.as_ref().filter(|(since, _)| since.elapsed() < KNOWN_FOR) {
            return Ok(Arc::clone(work));
        }
        let (since, count) = (Instant::now(), to_usize(self.arguments.grants.min(self.arguments.known)));
        let once = Arc::new(Introspect::once(self.issued(count, format).await?));
        self.prepare(format!("introspecting {count} tokens"), &once).await?;
        let work = Arc::new(once.again());
        *known = Some((since, Arc::clone(&work)));
        Ok(work)
    }

    /// All at once that a client has, which so many new grants are part of: how long it takes to be told that it is done. Then each of
    /// their tokens must be dead.
    async fn revoke_client(&self, grants: usize) -> Result<Report, Failure> {
        let mut report = Report::of("revoke-client");
        for round in 1..=self.arguments.rounds {
            let tokens = Introspect::once(self.issued(grants, Format::Jwt).await?);
            let living = Arc::new(tokens.some(to_usize(self.arguments.known)));
            self.prepare("introspecting living tokens".into(), &living).await?;
            let revoke = Arc::new(RevokeClient::default());
            let (ran, cpu) = self.round(&self.links, &revoke, report.operation, round).await?;
            report.series.add(ran, cpu);
            report.sizes = revoke.sizes();
            self.prepare(format!("introspecting {grants} dead tokens"), &Arc::new(tokens.dead())).await?;
        }
        Ok(report)
    }

    /// So many clients, each once.
    async fn register_clients(&self, count: usize) -> Result<Report, Failure> {
        let mut report = Report::of("register-clients");
        let work = Arc::new(RegisterClients::new(count));
        let (ran, cpu) = self.round(&self.links, &work, report.operation, 1).await?;
        report.series.add(ran, cpu);
        report.sizes = work.sizes();
        Ok(report)
    }

    /// Fills the server with what is to be there besides, where so much is there already.
    async fn fill(&self, there: (u32, u32), size: (u32, u32)) -> Result<(), Failure> {
        let (Some(grants), Some(revocations)) = (size.0.checked_sub(there.0), size.1.checked_sub(there.1)) else {
            let next = "nothing that is there is taken away: write the smaller number first";
            return Err(Failure::usage("--other-grants and --revocations must not fall", next));
        };
        let make = |count| Issue::some(count).map_err(no_randomness);
        self.make(format!("issuing {grants} other grants"), to_usize(grants), make).await?;
        self.make(format!("revoking {revocations} grants"), to_usize(revocations), |count| Ok(RevokeGrants::new(count))).await?;
        if let Some(server) = self.server.filter(|_| grants > 0 || revocations > 0) {
            self.progress.begin("waiting until the server is idle".into(), PREPARING);
            server.idle().await?;
        }
        Ok(())
    }

    /// Makes so many things that must be there before something can be measured.
    async fn make<W: Work>(
        &self,
        what: String,
        count: usize,
        make: impl Fn(usize) -> Result<W, Failure>,
    ) -> Result<Vec<Arc<W>>, Failure> {
        self.progress.begin(what, PREPARING);
        self.links.run_all(count, make, PREPARING, &self.progress).await
    }

    /// Does what must be done before something can be measured.
    async fn prepare<W: Work>(&self, what: String, work: &Arc<W>) -> Result<(), Failure> {
        self.progress.begin(what, PREPARING);
        self.links.run_well(work, PREPARING, &self.progress).await
    }

    /// The rounds of an operation, each after one of the no-op where there is one.
    async fn rounds<W: Operation>(
        &self,
        name: &'static str,
        mut work: impl AsyncFnMut() -> Result<Arc<W>, Failure>,
    ) -> Result<Report, Failure> {
        let first = work().await?;
        self.progress.begin(format!("{name}: warming up"), WARM_UP);
        self.links.run_well(&first, WARM_UP, &self.progress).await?;
        let sizes = first.sizes();
        let mut report = Report { sizes, ..Report::of(name) };
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
        report.noop.get_or_insert_with(report::Series::new).add(ran, cpu);
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
        let (ran, ()) = try_join(links.run(work, span, &self.progress), self.revoke_beside(span)).await?;
        let cpu = counting.map(|counting| counting.stop()).transpose()?;
        Ok((ran, cpu))
    }

    /// Grants that nobody holds, at a pace.
    async fn revoke_beside(&self, span: Duration) -> Result<(), Failure> {
        match &self.trickle {
            Some(links) => links.run_well(&Arc::new(RevokeGrants::new(usize::MAX)), span, &self.progress).await,
            None => Ok(()),
        }
    }

    fn table(&self, reports: &[Report], enforced: Option<&Enforced>, overload: Option<&Overload>) -> String {
        let BenchArguments { connections, concurrency, rounds, seconds, .. } = self.arguments;
        let mut text = String::new();
        if !reports.is_empty() {
            text.push_str(&format!(
                "{connections} connections, {concurrency} requests under way on each, {rounds} rounds of at most {seconds} s (minimum/median/maximum)\n"
            ));
            if self.server.is_none() {
                text.push_str("the server's CPU was not measured: --server-pid names its process\n");
            }
        }
        for report in reports {
            text.push('\n');
            text.push_str(&report.table());
        }
        if self.arguments.sizes().count() > 1 && !reports.is_empty() {
            text.push('\n');
            text.push_str(&report::side_by_side(reports));
        }
        text.extend(enforced.map(Enforced::table));
        text.extend(overload.map(Overload::table));
        text
    }
}

fn to_usize(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn no_randomness(error: Error) -> Failure {
    Failure::local(error.to_string(), "without randomness no subject can be named that no other run has")
}

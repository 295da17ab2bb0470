//! Watching the log over gRPC: nothing is missed, freshness is proved, and nobody is held up by who is slow.

use crate::on_every_store;
use crate::server;
use crate::world::{Replica, SCOPES, World, alice, refusal};
use http_body_util::{BodyExt as _, StreamBody};
use jeton::api::revocation_service_client::RevocationServiceClient;
use jeton::api::revoke_request::Target;
use jeton::api::watch_request::Message as Say;
use jeton::api::watch_response::Message as Told;
use jeton::api::{
    AcceptLogRequest, Arrival, Freshness, GetLogRequest, IntrospectRequest, LogState, RaisedFloor, RevokeRequest, WatchArrivals,
    WatchPing, WatchRequest, WatchResponse, WatchStart, WatchStarted, freshness::Requirement,
};
use jeton::transport::caller::Admission;
use jeton::transport::grpc::{Settings, Watching};
use jeton_domain::floors::Floors;
use jeton_domain::time::Millis;
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

on_every_store! {
    a_snapshot_and_changes_are_the_view_whatever_is_revoked_beside_it,
    who_resumes_misses_nothing,
    a_revision_of_nowhere_is_answered_by_a_snapshot,
    a_pong_comes_after_all_that_was_acknowledged_elsewhere_before_its_ping,
    a_view_that_does_not_hold_all_is_told_from_the_log,
    a_slow_reader_is_cut_off_and_resumes_without_a_gap,
    two_thousand_watchers_hear_of_a_revocation_and_introspection_stays_right,
    a_log_is_accepted_only_as_it_was_seen,
}

/// How long anything may take on a machine that is busy with other tests.
const BUSY: Duration = Duration::from_secs(60);

type Held = BTreeMap<Vec<u8>, u64>;

/// A watcher, and what it knows.
struct Watcher {
    say: mpsc::Sender<WatchRequest>,
    told: Streaming<WatchResponse>,
    started: WatchStarted,
    held: Held,
    /// How many floors it was told.
    entries: usize,
    revision: String,
    pings: u64,
}

impl Watcher {
    async fn of(replica: &Replica, after: &str) -> Self {
        Self::on(&mut replica.revocations.clone(), after).await.unwrap()
    }

    async fn on(client: &mut RevocationServiceClient<Channel>, after: &str) -> Result<Self, Status> {
        let (say, mut told) = stream(client).await?;
        say.send(request(Say::Start(WatchStart { after_revision: after.into() }))).await.unwrap();
        let first = timeout(BUSY, told.message()).await.unwrap().unwrap().unwrap().message;
        let Some(Told::Started(started)) = first else { panic!("started comes first, not {first:?}") };
        let (held, revision) = (Held::new(), String::new());
        Ok(Self { say, told, started, held, entries: 0, revision, pings: 0 })
    }

    /// Takes in one message; the id of a pong.
    async fn hear(&mut self) -> Result<Option<u64>, Status> {
        let message = timeout(BUSY, self.told.message()).await.expect("it hears something")?;
        let message = message.ok_or_else(|| Status::ok("ended"))?.message;
        match message.expect("a message of this version") {
            Told::Started(_) => panic!("told twice that it started"),
            Told::Changes(changes) => {
                assert!(changes.raised.len() <= 1_000);
                self.entries += changes.raised.len();
                changes.raised.into_iter().for_each(|raised| self.join(raised));
                if !changes.revision.is_empty() {
                    self.revision = changes.revision;
                }
                Ok(None)
            }
            Told::Pong(pong) => {
                assert!(!pong.revision.is_empty());
                self.revision = pong.revision;
                Ok(Some(pong.id))
            }
        }
    }

    fn join(&mut self, raised: RaisedFloor) {
        assert_eq!(raised.target.len(), 16);
        assert!(raised.kind > 0 && raised.at > 0, "{raised:?}");
        let held = self.held.entry(raised.target.to_vec()).or_default();
        *held = raised.floor.max(*held);
    }

    /// Until it has what it lacked.
    async fn complete(mut self) -> Self {
        while self.revision.is_empty() {
            self.hear().await.unwrap();
        }
        self
    }

    async fn ping(&mut self) -> u64 {
        self.pings += 1;
        self.say.send(request(Say::Ping(WatchPing { id: self.pings }))).await.unwrap();
        self.pings
    }

    /// Until it is proved fresh.
    async fn fresh(&mut self) {
        let id = self.ping().await;
        while self.hear().await.unwrap() != Some(id) {}
    }

    /// Until it is ended.
    async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.hear().await {
                return status;
            }
        }
    }

    async fn holds(&mut self, target: &[u8]) {
        while !self.held.contains_key(target) {
            self.hear().await.unwrap();
        }
    }
}

type Stream = (mpsc::Sender<WatchRequest>, Streaming<WatchResponse>);

/// A stream on which nothing was said yet.
async fn stream(client: &mut RevocationServiceClient<Channel>) -> Result<Stream, Status> {
    let (say, saying) = mpsc::channel(16);
    Ok((say, client.watch(ReceiverStream::new(saying)).await?.into_inner()))
}

fn request(say: Say) -> WatchRequest {
    WatchRequest { message: Some(say) }
}

/// What the view of a replica holds.
fn view(replica: &Replica) -> Held {
    replica.app.alive.with_floors(|floors| {
        let all = (0..Floors::PARTS).flat_map(|part| floors.part(part));
        all.map(|raised| (raised.target.0.to_vec(), raised.floor().0)).collect()
    })
}

fn session(name: &str) -> Target {
    Target::Session(jeton::api::SessionTarget { sid: name.into(), sub: String::new() })
}

fn revoking(target: Target) -> RevokeRequest {
    RevokeRequest { target: Some(target), ..Default::default() }
}

async fn revoke_sessions(replica: &Replica, name: &str, count: usize) {
    for number in 0..count {
        replica.revoke(session(&format!("{name}-{number}"))).await;
    }
}

/// The revision that a stream which was cut off says to resume from.
fn resume(status: &Status) -> String {
    assert_eq!(refusal::<()>(Err(status.clone())), (Code::Aborted, "WATCH_CUT".into()));
    let details = status.get_error_details();
    details.error_info().unwrap().metadata.get("revision").cloned().unwrap_or_default()
}

async fn a_snapshot_and_changes_are_the_view_whatever_is_revoked_beside_it(world: World) {
    let (here, there) = (world.start().await, world.start().await);
    revoke_sessions(&here, "before", 40).await;
    let watching = async {
        let mut watchers = Vec::new();
        for replica in [&here, &there, &here, &there] {
            let watcher = Watcher::of(replica, "").await;
            assert!(watcher.started.snapshot);
            assert_eq!(watcher.started.salt, here.app.alive.salt().expose());
            assert_eq!((watcher.started.horizon, watcher.started.max_staleness_ms), (7_200, 2_000));
            watchers.push(watcher.complete().await);
        }
        watchers
    };
    let one = revoke_sessions(&here, "here", 60);
    let other = revoke_sessions(&there, "there", 60);
    let again = revoke_sessions(&there, "here", 60);
    let (mut watchers, ..) = tokio::join!(watching, one, other, again);
    here.revoke(Target::Sub("alice".into())).await;
    for watcher in &mut watchers {
        watcher.fresh().await;
        assert_eq!(watcher.held.len(), 161);
    }
    // The pings brought both views to the end.
    assert_eq!(view(&here), view(&there));
    for watcher in &watchers {
        assert_eq!(watcher.held, view(&here));
    }
}

async fn who_resumes_misses_nothing(world: World) {
    let (here, there) = (world.start().await, world.start().await);
    revoke_sessions(&here, "old", 20).await;
    let mut watcher = Watcher::of(&here, "").await.complete().await;
    for round in 0..3 {
        watcher.fresh().await;
        let Watcher { revision, held, .. } = watcher;
        // Revoked while nobody watches: some new, some that it knows.
        revoke_sessions(&there, &format!("new-{round}"), 5).await;
        revoke_sessions(&here, "old", 2).await;
        let replica = if round % 2 == 0 { &there } else { &here };
        watcher = Watcher::of(replica, &revision).await;
        assert!(!watcher.started.snapshot, "{revision} is of this history");
        watcher = watcher.complete().await;
        watcher.fresh().await;
        assert!(watcher.entries <= 7, "only what came after it, not {}", watcher.entries);
        let known = std::mem::replace(&mut watcher.held, held);
        known.into_iter().for_each(|(target, floor)| {
            let held = watcher.held.entry(target).or_default();
            *held = floor.max(*held);
        });
        assert_eq!(watcher.held, view(replica));
    }
}

async fn a_revision_of_nowhere_is_answered_by_a_snapshot(world: World) {
    let server = world.start().await;
    revoke_sessions(&server, "s", 3).await;
    let known = Watcher::of(&server, "").await.complete().await.revision;
    let later = format!("{}-7", (world.now() + 3_600) * 1_000_000);
    for nowhere in [later.as_str(), "18446744073709551615-1"] {
        let watcher = Watcher::of(&server, nowhere).await;
        assert!(watcher.started.snapshot, "{nowhere}");
        assert_eq!(watcher.complete().await.held, view(&server));
    }
    assert!(!Watcher::of(&server, &known).await.started.snapshot);
}

async fn a_pong_comes_after_all_that_was_acknowledged_elsewhere_before_its_ping(world: World) {
    let (here, there) = (world.start().await, world.start().await);
    let mut watcher = Watcher::of(&here, "").await.complete().await;
    for round in 1..=30 {
        // Nothing but the ping makes the other replica look.
        let revoked = there.revoke(session(&format!("s-{round}"))).await;
        watcher.fresh().await;
        assert_eq!(watcher.held.len(), round);
        assert_eq!(watcher.revision, revoked.revision, "the stream stands where the log does");
    }
    // Pings that come together are all answered.
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(watcher.ping().await);
    }
    while !waiting.is_empty() {
        let pong = watcher.hear().await.unwrap();
        waiting.retain(|id| Some(*id) != pong);
    }
}

async fn a_view_that_does_not_hold_all_is_told_from_the_log(mut world: World) {
    world.settings.limits.view_entries = 10;
    let server = world.start().await;
    revoke_sessions(&server, "s", 15).await;
    let (all, known) = (view(&server), Watcher::of(&server, "").await.complete().await);
    server.revoke(session("more")).await;
    // Settled, and then known to be.
    for _ in 0..2 {
        server.app.alive.settle().await.unwrap();
    }
    assert!(!server.app.alive.health().whole && view(&server).len() < 10, "what is settled is in the store alone");

    let snapshot = Watcher::of(&server, "").await.complete().await;
    assert!(all.keys().all(|target| snapshot.held.contains_key(target)) && snapshot.held.len() == 16);
    let resumed = Watcher::of(&server, &known.revision).await.complete().await;
    assert!(!resumed.started.snapshot && resumed.held.len() == 1, "{:?}", resumed.held);
}

async fn a_slow_reader_is_cut_off_and_resumes_without_a_gap(world: World) {
    let two = Watching { most: 2, patience: Duration::from_millis(200), ..Watching::default() };
    let server = world.start_watched(&world.settings, two).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    // Its connection takes little while it does not read.
    let narrow = endpoint.initial_stream_window_size(256).connect().await.unwrap();
    let mut slow = Watcher::on(&mut RevocationServiceClient::new(narrow), "").await.unwrap().complete().await;
    let mut quick = Watcher::of(&server, "").await.complete().await;
    let third = loop {
        server.revoke(session(&format!("s-{}", quick.pings))).await;
        quick.fresh().await;
        match Watcher::on(&mut server.revocations.clone(), "").await {
            Ok(third) => break third,
            Err(full) => assert_eq!(refusal::<()>(Err(full)), (Code::ResourceExhausted, "OVERLOADED".into())),
        }
    };
    assert_eq!(third.complete().await.held, view(&server), "its place is another's");
    assert_eq!(quick.held, view(&server), "nobody else is held up");
    let revision = resume(&slow.end().await);
    assert_eq!(revision, slow.revision, "it is told where it stands");
    assert!(slow.held.len() < quick.held.len());

    drop(quick);
    server.revoke(session("last")).await;
    let mut resumed = loop {
        match Watcher::on(&mut server.revocations.clone(), &revision).await {
            Ok(resumed) => break resumed,
            Err(full) => assert_eq!(full.code(), Code::ResourceExhausted),
        }
    };
    assert!(!resumed.started.snapshot);
    resumed.held = slow.held;
    resumed.fresh().await;
    assert_eq!(resumed.held, view(&server));
}

impl Replica {
    async fn introspect_from_memory(&self, token: &str) -> bool {
        let asked = IntrospectRequest { token: token.into(), ..Default::default() };
        self.tokens.clone().introspect(asked).await.unwrap().into_inner().active
    }
}

async fn two_thousand_watchers_hear_of_a_revocation_and_introspection_stays_right(world: World) {
    let server = world.start().await;
    let mut watchers = Vec::new();
    for _ in 0..10 {
        let channel = Endpoint::from_shared(format!("http://{}", server.address)).unwrap().connect().await.unwrap();
        let mut client = RevocationServiceClient::new(channel);
        for _ in 0..200 {
            watchers.push(Watcher::on(&mut client, "").await.unwrap().complete().await);
        }
    }
    let (alive, dead) = (server.issue(alice("mobile-app", SCOPES)).await, server.issue(alice("mobile-app", SCOPES)).await);
    server.revoke(Target::GrantId(dead.grant_id.clone())).await;
    let target = jeton_domain::id::GrantId::parse(&dead.grant_id).unwrap().0;
    let hear = async {
        for watcher in &mut watchers {
            watcher.holds(&target).await;
        }
    };
    let ask = async {
        for _ in 0..200 {
            assert!(server.introspect_from_memory(&alive.access_token).await);
            assert!(!server.introspect_from_memory(&dead.access_token).await);
        }
    };
    tokio::join!(hear, ask);
    for watcher in &mut watchers {
        watcher.ping().await;
    }
    for watcher in &mut watchers {
        while watcher.hear().await.unwrap().is_none() {}
    }
}

async fn a_log_is_accepted_only_as_it_was_seen(world: World) {
    let server = world.start().await;
    server.app.alive.beat().await.unwrap();
    let revision = server.revoke(session("s")).await.revision;
    let log = server.revocations.clone().get_log(GetLogRequest {}).await.unwrap().into_inner();
    assert_eq!((log.revision.as_str(), log.state(), log.entries, log.whole), (revision.as_str(), LogState::Healed, 1, true));
    assert_eq!((log.last_seen, log.age_ms, log.problems), (0, 0, vec![]));
    let accept = |last_seen| {
        let mut client = server.revocations.clone();
        async move { client.accept_log(AcceptLogRequest { last_seen }).await.map(tonic::Response::into_inner) }
    };
    assert_eq!(refusal(accept(7).await), (Code::InvalidArgument, "INVALID_FIELD".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_accepts_an_old_file_is_told_that_later_revisions_are_lost() {
    let world = World::memory().await;
    let server = world.start().await;
    let kept = server.revoke(session("s")).await.revision;
    // What was handed out after this file was copied.
    let other = World::memory().await;
    other.pass(3);
    let lost = other.start().await.revoke(session("elsewhere")).await.revision;
    world.pass(10);
    let accepted = server.revocations.clone().accept_log(AcceptLogRequest { last_seen: 0 }).await.unwrap().into_inner();
    server.revoke(session("later")).await;
    let asked = |revision: &str| {
        let freshness = Some(Freshness { requirement: Some(Requirement::AtLeastAsFresh(revision.into())) });
        let asked = IntrospectRequest { token: "t".into(), freshness, ..Default::default() };
        let mut client = server.tokens.clone();
        async move { client.introspect(asked).await }
    };
    for known in [&kept, &accepted.revision] {
        asked(known).await.unwrap();
        assert!(!Watcher::of(&server, known).await.started.snapshot);
    }
    assert_eq!(refusal(asked(&lost).await), (Code::FailedPrecondition, "REVISION_LOST".into()));
    let watcher = Watcher::of(&server, &lost).await;
    assert!(watcher.started.snapshot && watcher.complete().await.held == view(&server));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_watcher_says_wrongly_is_named_and_ends_its_stream() {
    let world = World::memory().await;
    let server = world.start().await;
    let start = |after: &str| Say::Start(WatchStart { after_revision: after.into() });
    let good = Arrival { grant_id: "AAAAAAAAAAAAAAAAAAAAAA".into(), jti: "a".repeat(32) };
    let arrivals = |arrivals| Say::Arrivals(WatchArrivals { arrivals });
    let other = |change: fn(&mut Arrival)| {
        let mut bad = good.clone();
        change(&mut bad);
        arrivals(vec![good.clone(), bad])
    };
    let rows: Vec<(Vec<Say>, &str)> = vec![
        (vec![Say::Ping(WatchPing { id: 1 })], "start"),
        (vec![start("yesterday")], "start.after_revision"),
        (vec![start(""), start("")], "start"),
        (vec![start(""), arrivals(vec![good.clone(); 1_001])], "arrivals.arrivals"),
        (vec![start(""), other(|arrival| arrival.grant_id = "g".into())], "arrivals.arrivals[1].grant_id"),
        (vec![start(""), other(|arrival| arrival.jti = "a".repeat(33))], "arrivals.arrivals[1].jti"),
        (vec![start(""), other(|arrival| arrival.jti = "ä".repeat(16))], "arrivals.arrivals[1].jti"),
    ];
    for (says, field) in rows {
        let (say, mut told) = stream(&mut server.revocations.clone()).await.unwrap();
        for one in says {
            say.send(request(one)).await.unwrap();
        }
        let status = loop {
            if let Err(status) = timeout(BUSY, told.message()).await.unwrap() {
                break status;
            }
        };
        let named: Vec<_> =
            status.get_error_details().bad_request().unwrap().field_violations.iter().map(|bad| bad.field.clone()).collect();
        assert_eq!(named, [field]);
        assert_eq!(refusal::<()>(Err(status)), (Code::InvalidArgument, "INVALID_FIELD".into()));
    }
    // What is right, or said by a newer version, ends nothing.
    let mut watcher = Watcher::of(&server, "").await.complete().await;
    watcher.say.send(request(arrivals(vec![good; 1_000]))).await.unwrap();
    watcher.say.send(WatchRequest { message: None }).await.unwrap();
    watcher.fresh().await;
    // Who has said all ends well.
    let Watcher { say, mut told, .. } = watcher;
    drop(say);
    assert_eq!(timeout(BUSY, told.message()).await.unwrap().unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_silent_or_watched_long_enough_is_sent_on_from_where_it_stands() {
    let world = World::memory().await;
    let short = Duration::from_millis(50);
    for watching in [Watching { silence: short, ..Watching::default() }, Watching { longest: short, ..Watching::default() }] {
        let server = world.start_watched(&world.settings, watching).await;
        let revoked = server.revoke(session("s")).await;
        let mut watcher = Watcher::of(&server, "").await;
        assert_eq!(resume(&watcher.end().await), revoked.revision);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_told_a_horizon_that_is_too_short_by_now_begins_anew() {
    let world = World::memory().await;
    let server = world.start().await;
    let mut watcher = Watcher::of(&server, "").await.complete().await;
    let mut longer = world.settings.clone();
    longer.tokens.access_token_ceiling = Millis::from_secs(4 * 3_600);
    let _other = world.start_with(&longer).await;
    // Its background learns of it so.
    server.app.alive.settle().await.unwrap();
    let revision = resume(&watcher.end().await);
    assert!(Watcher::of(&server, &revision).await.started.horizon > 4 * 3_600);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_deadline_ends_a_stream_and_it_takes_no_place() {
    let settings = Settings { request_deadline: Duration::from_millis(50), max_in_flight: 1, ..server::open() };
    let mut server = server::start(settings).await;
    let mut client = RevocationServiceClient::new(server.channel().await);
    let mut watcher = Watcher::on(&mut client, "").await.unwrap().complete().await;
    // A call that begins later, and takes the only place until its deadline.
    let mut raw = server.raw().await;
    let unfinished = raw.streaming("/jeton.v1.TokenService/Introspect", StreamBody::new(tokio_stream::pending()).boxed_unsync());
    assert_eq!(raw.send(unfinished).await.status.code(), Code::DeadlineExceeded);
    watcher.fresh().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_not_call_may_not_watch() {
    let server = server::start(Settings { admission: Admission::Authenticated, ..server::open() }).await;
    let mut client = RevocationServiceClient::new(server.channel().await);
    assert_eq!(refusal(stream(&mut client).await), (Code::Unauthenticated, "CALLER_UNAUTHENTICATED".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shutdown_ends_every_stream_and_nothing_waits_for_them() {
    let mut server = server::start(server::open()).await;
    let mut client = RevocationServiceClient::new(server.channel().await);
    let mut watchers = Vec::new();
    for _ in 0..20 {
        watchers.push(Watcher::on(&mut client, "").await.unwrap().complete().await);
    }
    server.shutdown.cancel();
    for watcher in &mut watchers {
        assert_eq!(refusal::<()>(Err(watcher.end().await)), (Code::Unavailable, "SHUTTING_DOWN".into()));
    }
    let drain = server::open().drain;
    timeout(drain, server.tasks.join_next()).await.expect("before the drain is over").unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_proved_is_not_answered_and_cuts_nobody_off() {
    let mut world = World::redis(&[]).await;
    world.patience = Duration::from_millis(300);
    let server = world.start().await;
    revoke_sessions(&server, "s", 3).await;
    let mut watcher = Watcher::of(&server, "").await.complete().await;
    watcher.fresh().await;
    world.redis.as_ref().unwrap().pause().await;
    watcher.ping().await;
    // As long as the ping waits, and longer.
    for _ in 0..2 {
        assert_eq!(server.try_introspect("t", "").await.unwrap_err().code(), Code::Unavailable);
    }
    assert!(timeout(Duration::from_millis(1), watcher.hear()).await.is_err(), "nothing can be proved, nothing is told");
    world.redis.as_ref().unwrap().resume().await;
    let revoked = async { while server.try_revoke(revoking(session("after"))).await.is_err() {} };
    timeout(BUSY, revoked).await.unwrap();
    let mut pongs = 0;
    while pongs == 0 || watcher.held != view(&server) {
        watcher.ping().await;
        let heard = timeout(Duration::from_millis(500), watcher.hear()).await.map_or(None, Result::unwrap);
        pongs += usize::from(heard.is_some());
    }
}

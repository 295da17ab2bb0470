//! Watching the log over gRPC: nothing is missed, freshness is proved, and nobody is held up by who is slow.

use crate::on_every_store;
use crate::world::{Replica, SCOPES, World, alice, refusal};
use jeton::api::revocation_service_client::RevocationServiceClient;
use jeton::api::revoke_request::Target;
use jeton::api::watch_request::Message as Say;
use jeton::api::watch_response::Message as Told;
use jeton::api::{
    AcceptLogRequest, Arrival, Freshness, GetLogRequest, IntrospectRequest, LogState, RaisedFloor, WatchArrivals, WatchPing,
    WatchRequest, WatchResponse, WatchStart, WatchStarted, freshness::Requirement,
};
use jeton::transport::grpc::Watching;
use jeton_domain::floors::Floors;
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
    /// How many floors it was told, and in how many messages.
    entries: usize,
    messages: usize,
    revision: String,
    pings: u64,
}

impl Watcher {
    async fn of(replica: &Replica, after: &str) -> Self {
        Self::on(&mut replica.revocations.clone(), after).await
    }

    async fn on(client: &mut RevocationServiceClient<Channel>, after: &str) -> Self {
        let (say, saying) = mpsc::channel(16);
        say.send(request(Say::Start(WatchStart { after_revision: after.into() }))).await.unwrap();
        let mut told = client.watch(ReceiverStream::new(saying)).await.unwrap().into_inner();
        let first = timeout(BUSY, told.message()).await.unwrap().unwrap().unwrap().message;
        let Some(Told::Started(started)) = first else { panic!("started comes first, not {first:?}") };
        let (held, revision) = (Held::new(), String::new());
        Self { say, told, started, held, entries: 0, messages: 0, revision, pings: 0 }
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
                self.messages += 1;
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
    assert!(!server.app.alive.is_whole() && view(&server).len() < 10, "what is settled is in the store alone");

    let snapshot = Watcher::of(&server, "").await.complete().await;
    assert!(all.keys().all(|target| snapshot.held.contains_key(target)) && snapshot.held.len() == 16);
    let resumed = Watcher::of(&server, &known.revision).await.complete().await;
    assert!(!resumed.started.snapshot && resumed.held.len() == 1, "{:?}", resumed.held);
}

async fn a_slow_reader_is_cut_off_and_resumes_without_a_gap(world: World) {
    let impatient = Watching { patience: Duration::from_millis(200), ..Watching::default() };
    let server = world.start_watched(&world.settings, impatient).await;
    let endpoint = Endpoint::from_shared(format!("http://{}", server.address)).unwrap();
    // Its connection takes little while it does not read.
    let narrow = endpoint.initial_stream_window_size(256).connect().await.unwrap();
    let mut client = RevocationServiceClient::new(narrow);
    let mut slow = Watcher::on(&mut client, "").await.complete().await;
    let mut quick = Watcher::of(&server, "").await.complete().await;
    let before = server.cut_off();
    for number in 0.. {
        server.revoke(session(&format!("s-{number}"))).await;
        quick.fresh().await;
        if server.cut_off() > before {
            break;
        }
    }
    let status = slow.end().await;
    let revision = resume(&status);
    assert_eq!(revision, slow.revision, "it says where it stands");
    server.revoke(session("last")).await;
    quick.fresh().await;
    assert_eq!(quick.held, view(&server), "nobody else is held up");

    let mut resumed = Watcher::of(&server, &revision).await;
    assert!(!resumed.started.snapshot);
    resumed.held = slow.held;
    resumed.fresh().await;
    assert_eq!(resumed.held, view(&server));
}

impl Replica {
    /// How many streams were cut off in this process.
    fn cut_off(&self) -> u64 {
        jeton::telemetry::metrics::REFUSALS.count(["WATCH_CUT"])
    }

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
            watchers.push(Watcher::on(&mut client, "").await.complete().await);
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

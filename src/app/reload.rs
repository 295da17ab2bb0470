//! The configuration read again while the process runs, when its files change and at SIGHUP: it is taken as a whole, or not at all.
//!
//! Must not live here: which settings can be taken so, and what differs (`config`); what the operations do with them (`service`).

use crate::app::{configuration, serve};
use crate::config::{Change, Loaded, Mistakes, Settings};
use crate::service::Service;
use crate::telemetry::{self, Level, metrics};
use crate::transport::tls::{self, Ready, Tls};
use jeton_domain::error::Error;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at. What changed is read when it was the same for so long: an editor may be in the middle of it.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// `ENFILE` and `EMFILE`: the system, or this process, has as many files open as it may.
const OUT_OF_FILES: [i32; 2] = [23, 24];
/// The most changes that are logged one by one.
const MAX_LOGGED: usize = 256;

/// Reads the configuration again, from where it was read at the start.
pub type Loading = Arc<dyn Fn() -> Result<Loaded, Mistakes> + Send + Sync>;

/// What an operator should know of the configuration, in words.
#[derive(Debug, Default)]
pub struct Remarks(RwLock<Vec<String>>);

impl Remarks {
    /// All of them.
    pub fn words(&self) -> Vec<String> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn tell(&self, words: Vec<String>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = words;
    }
}

/// Why what was read is not taken.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    Mistakes(Mistakes),
    #[error("[tls] {0}")]
    Tls(tls::Problem),
    #[error("{0}")]
    Telemetry(telemetry::StartError),
    #[error(
        "[callers]: the last one is gone, and everybody might call then: restart jeton if that is meant; nothing of this is taken"
    )]
    OpensTheDoor,
    #[error("{0}")]
    Store(Error),
    #[error("reading it ended: {0}")]
    Defect(tokio::task::JoinError),
}

/// Follows the configuration.
pub struct Reload {
    load: Loading,
    in_force: Loaded,
    service: Arc<Service>,
    tls: [Option<Tls>; 3],
    level: Level,
    remarks: Arc<Remarks>,
    /// What the files held at the last look, and when they were read last. None: not yet, or it is to be tried again.
    looked: Option<[u8; 32]>,
    tried: Option<[u8; 32]>,
    /// Why it was refused last, as it was told.
    refused: Option<String>,
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reload(..)")
    }
}

impl Reload {
    /// Follows what is `in_force`, which `load` reads again.
    pub fn new(
        load: Loading,
        in_force: Loaded,
        service: Arc<Service>,
        tls: [Option<Tls>; 3],
        level: Level,
        remarks: Arc<Remarks>,
    ) -> Self {
        metrics::CONFIGURATION_SOUND.set_count(1);
        Self { load, in_force, service, tls, level, remarks, looked: None, tried: None, refused: None }
    }

    /// Until `stop`.
    pub async fn follow(mut self, mut hangup: Signal, stop: CancellationToken) {
        loop {
            let is_asked = tokio::select! {
                () = stop.cancelled() => return,
                Some(()) = hangup.recv() => true,
                () = tokio::time::sleep(LOOK_EVERY) => false,
            };
            // Looked at first: what changes after it is seen by the next look.
            let is_changed = self.look().await;
            if (is_asked || is_changed) && stop.run_until_cancelled(self.reload(is_asked)).await.is_none() {
                return;
            }
        }
    }

    /// Whether the files hold what was not read yet, and have for a while. At first it was read by somebody else, and maybe is another since.
    async fn look(&mut self) -> bool {
        let files = self.in_force.files();
        let Ok(Some(now)) = tokio::task::spawn_blocking(move || fingerprint(&files)).await else { return false };
        let is_steady = self.looked.replace(now) == Some(now);
        is_steady && self.tried != Some(now)
    }

    async fn can_look(&self) -> bool {
        let files = self.in_force.files();
        tokio::task::spawn_blocking(move || fingerprint(&files)).await.is_ok_and(|seen| seen.is_some())
    }

    async fn reload(&mut self, is_asked: bool) {
        self.tried = self.looked;
        let load = Arc::clone(&self.load);
        let taken = match tokio::task::spawn_blocking(move || load()).await {
            Ok(Ok(loaded)) => self.take(loaded).await,
            Ok(Err(mistakes)) => Err(Refusal::Mistakes(mistakes)),
            Err(ended) => Err(Refusal::Defect(ended)),
        };
        match taken {
            Ok(changes) => self.tell(&changes, is_asked),
            // It may be that no file could be opened at all.
            Err(_) if !self.can_look().await => self.tried = None,
            Err(refusal) => self.refuse(&refusal, is_asked),
        }
    }

    /// Takes it: all that can fail comes first, and changes nothing.
    async fn take(&mut self, loaded: Loaded) -> Result<Vec<Change>, Refusal> {
        let (in_force, changes) = self.in_force.reloaded(loaded);
        let settings = &in_force.settings;
        if opens_the_door(&self.in_force.settings, settings) {
            return Err(Refusal::OpensTheDoor);
        }
        let is_unchanged = *settings == self.in_force.settings;
        if !is_unchanged {
            let ready = self.ready(settings).await?;
            self.level.exchange(settings.telemetry.log_level.word()).map_err(Refusal::Telemetry)?;
            if let Err(problem) = self.service.reconfigure(configuration(settings)).await {
                let before = self.in_force.settings.telemetry.log_level.word();
                self.level.exchange(before).map_err(Refusal::Telemetry)?;
                return Err(Refusal::Store(problem));
            }
            ready.into_iter().for_each(Ready::exchange);
        }
        self.in_force = in_force;
        Ok(changes)
    }

    /// TLS of the listeners, where others are named than before.
    async fn ready(&self, settings: &Settings) -> Result<Vec<Ready>, Refusal> {
        let (before, now) = (serve::tls_files(&self.in_force.settings), serve::tls_files(settings));
        let Some(files) = now.filter(|now| before.as_ref() != Some(now)) else { return Ok(Vec::new()) };
        let listeners = self.tls.clone();
        let read = move || {
            let each = listeners.iter().zip(files).filter_map(|(tls, files)| Some(tls.as_ref()?.ready(files)));
            each.collect::<Result<Vec<Ready>, tls::Problem>>()
        };
        tokio::task::spawn_blocking(read).await.map_err(Refusal::Defect)?.map_err(Refusal::Tls)
    }

    fn tell(&mut self, changes: &[Change], is_asked: bool) {
        metrics::CONFIGURATION_RELOADS.add(if changes.is_empty() { "unchanged" } else { "taken" });
        metrics::CONFIGURATION_SOUND.set_count(1);
        if self.refused.take().is_some() || is_asked || !changes.is_empty() {
            tracing::info!(changes = changes.len(), "the configuration was read again");
        }
        if !changes.is_empty() {
            for warning in &self.in_force.warnings {
                tracing::warn!("{warning}");
            }
        }
        for Change { setting, words, needs_restart } in changes.iter().take(MAX_LOGGED) {
            if *needs_restart {
                tracing::warn!(setting, change = words, "a changed setting is taken at the next start only");
            } else {
                tracing::info!(setting, change = words, "a changed setting is in force");
            }
        }
        let waiting = changes.iter().filter(|change| change.needs_restart);
        let words =
            |change: &Change| format!("configuration: {} {}: it is taken at the next start only", change.setting, change.words);
        let remarks: Vec<String> = waiting.map(words).collect();
        metrics::CONFIGURATION_RESTART_NEEDED.set_count(remarks.len());
        self.remarks.tell(remarks);
    }

    fn refuse(&mut self, refusal: &Refusal, is_asked: bool) {
        metrics::CONFIGURATION_RELOADS.add("refused");
        metrics::CONFIGURATION_SOUND.set_count(0);
        let lines = match refusal {
            Refusal::Mistakes(mistakes) => mistakes.iter().map(ToString::to_string).collect(),
            other => vec![other.to_string()],
        };
        if matches!(refusal, Refusal::Store(_) | Refusal::Tls(_) | Refusal::Defect(_)) {
            // Nothing is wrong with what was read: it is tried again.
            self.tried = None;
        }
        let told = lines.join("\n");
        if is_asked || self.refused.as_ref() != Some(&told) {
            for mistake in &lines {
                tracing::error!(mistake, "the configuration is not taken: the one before stays in force");
            }
        }
        self.refused = Some(told);
        let first = lines.first().map(String::as_str).unwrap_or_default();
        let more = if lines.len() > 1 { format!(" (and {} more)", lines.len() - 1) } else { String::new() };
        self.remarks.tell(vec![format!("configuration: {first}{more}: the one before stays in force")]);
    }
}

/// Whether callers were known, and everybody could call then. A file that was emptied by mistake says so too.
fn opens_the_door(before: &Settings, now: &Settings) -> bool {
    !before.callers.is_empty() && now.callers.is_empty()
}

/// Of all that the files hold; another where one cannot be read. None: too many are open, which says nothing of these.
fn fingerprint(files: &[PathBuf]) -> Option<[u8; 32]> {
    let each = files.iter().map(|file| match std::fs::read(file).map(zeroize::Zeroizing::new) {
        Ok(text) => Some(Sha256::digest(&*text)),
        Err(problem) if problem.raw_os_error().is_some_and(|number| OUT_OF_FILES.contains(&number)) => None,
        Err(problem) => Some(Sha256::digest(problem.to_string())),
    });
    let all = each.collect::<Option<Vec<_>>>()?;
    Some(Sha256::digest(all.into_iter().flatten().collect::<Vec<u8>>()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::clock::Clock;
    use crate::config::{self, Overrides};
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicBool, Ordering};

    const TIMES: usize = 100;

    /// A configuration whose scope and whose caller have this number.
    fn numbered(number: usize) -> Settings {
        let home = tempfile::tempdir().unwrap();
        let file = home.path().join("jeton.toml");
        let hash = "a1".repeat(32);
        let text = format!(
            "store = 'memory:'\n[resources.'https://a']\nscopes = ['a:{number}']\n[callers.{number}]\nkey_hashes = 'sha256:{hash}'\n"
        );
        std::fs::write(&file, text).unwrap();
        config::load(Some(&file), &BTreeMap::<String, String>::new(), &Overrides::default()).unwrap().settings
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn nobody_finds_the_resources_of_one_configuration_beside_the_callers_of_the_one_before() {
        let app = App::start(&numbered(0), Clock::system()).await.unwrap();
        let ended = Arc::new(AtomicBool::new(false));
        let (service, told) = (app.service.clone(), ended.clone());
        let looks = tokio::task::spawn_blocking(move || {
            let scope = || service.scopes().iter().find_map(|scope| scope.strip_prefix("a:")?.parse::<usize>().ok()).unwrap();
            let caller = || service.callers().iter().find_map(|caller| caller.name.parse::<usize>().ok()).unwrap();
            while !told.load(Ordering::Relaxed) {
                let (first, second) = (scope(), caller());
                assert!(first <= second, "the callers of {second} stood beside the resources of {first}");
                let (first, second) = (caller(), scope());
                assert!(first <= second, "the resources of {second} stood beside the callers of {first}");
            }
        });
        for number in 1..=TIMES {
            app.service.reconfigure(configuration(&numbered(number))).await.unwrap();
        }
        ended.store(true, Ordering::Relaxed);
        looks.await.unwrap();
        assert_eq!(app.service.callers().iter().map(|caller| caller.name.to_string()).collect::<Vec<_>>(), [TIMES.to_string()]);
    }
}

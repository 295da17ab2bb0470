//! Redis fails under load, and an independent checker judges what was seen. One binary: its runs take turns.

#[cfg(test)]
mod caller;
#[cfg(test)]
mod checker;
#[cfg(test)]
mod clock_offset;
#[cfg(test)]
mod clocks;
#[cfg(test)]
mod cluster;
#[cfg(test)]
mod controls;
#[cfg(test)]
mod disk;
#[cfg(test)]
mod emptied;
#[cfg(test)]
mod failovers;
#[cfg(test)]
mod fleet;
#[cfg(test)]
mod history;
#[cfg(test)]
mod load;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod network;
#[cfg(test)]
mod node;
#[cfg(test)]
mod proxy;
#[cfg(test)]
mod restored;
#[cfg(test)]
mod run;
#[cfg(test)]
mod sentinels;
#[cfg(test)]
mod shards;
#[cfg(test)]
mod split;
#[cfg(test)]
mod standalone;
#[cfg(test)]
mod summary;

/// Deployments take turns: they are many processes, and the machine may have two cores.
#[cfg(test)]
async fn turn() -> tokio::sync::MutexGuard<'static, ()> {
    static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    TURN.lock().await
}

/// How many rounds the long forms take: `OUTAGE_ROUNDS`, else a few.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "no setting of the service")]
fn rounds() -> u64 {
    std::env::var("OUTAGE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20)
}

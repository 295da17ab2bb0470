//! Redis fails under load, and an independent checker judges what was seen. One binary, so that its runs take turns.

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

/// Deployments that fail at once: mostly they wait, for elections and time-outs. More would be too many processes where there are two cores.
#[cfg(test)]
static TURNS: tokio::sync::Semaphore = tokio::sync::Semaphore::const_new(2);

/// Waits for a turn; it ends when what it answers is dropped.
#[cfg(test)]
async fn turn() -> tokio::sync::SemaphorePermit<'static> {
    TURNS.acquire().await.unwrap()
}

/// Waits until nothing else fails: where Sentinels that are late, since the machine is busy, would make two failovers of one.
#[cfg(test)]
async fn turn_alone() -> tokio::sync::SemaphorePermit<'static> {
    TURNS.acquire_many(2).await.unwrap()
}

/// How many rounds the long forms take: `OUTAGE_ROUNDS`, else a few.
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "no setting of the service")]
fn rounds() -> u64 {
    std::env::var("OUTAGE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(20)
}

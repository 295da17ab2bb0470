//! What the server spends: the CPU time of its process, and its memory.
//!
//! Must not live here: finding the process. Whose time is counted is the operator's to say.

use super::super::failure::Failure;
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use std::{fs, io};

/// How often it is looked whether the server is idle.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// So often in a row it must have been: its jobs pause for a second.
const QUIET_LOOKS: u32 = 5;

/// The server's process on this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pid: u32,
}

/// Counting, from its start to `stop`.
pub(super) struct Counting {
    server: Server,
    before: Times,
}

/// The time each thread has run, in nanoseconds.
type Times = BTreeMap<String, u64>;

impl Server {
    /// # Errors
    /// There is no such process, or it is hidden.
    pub(super) fn new(pid: u32) -> Result<Self, Failure> {
        let server = Self { pid };
        server.times().map(|_| server)
    }

    /// Starts counting.
    ///
    /// # Errors
    /// The process is gone.
    pub(super) fn count(self) -> Result<Counting, Failure> {
        Ok(Counting { server: self, before: self.times()? })
    }

    /// Waits until it has next to nothing to do any more.
    ///
    /// # Errors
    /// The process is gone.
    pub(super) async fn idle(self) -> Result<(), Failure> {
        let mut quiet = 0;
        while quiet < QUIET_LOOKS {
            let counting = self.count()?;
            tokio::time::sleep(LOOK_EVERY).await;
            quiet = if counting.stop()? < LOOK_EVERY / 20 { quiet + 1 } else { 0 };
        }
        Ok(())
    }

    /// What of it is in memory, in KiB.
    ///
    /// # Errors
    /// The process is gone.
    pub(super) fn resident(self) -> Result<u64, Failure> {
        let path = Path::new("/proc").join(self.pid.to_string()).join("status");
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse().ok());
        kib.ok_or_else(|| {
            Failure::usage(
                format!("the memory of process {} cannot be read", self.pid),
                "--server-pid names the running `jeton serve` on this machine (Linux)",
            )
        })
    }

    fn times(self) -> Result<Times, Failure> {
        times(&Path::new("/proc").join(self.pid.to_string()).join("task")).map_err(|error| {
            Failure::usage(
                format!("the CPU time of process {} cannot be read: {error}", self.pid),
                "--server-pid names the running `jeton serve` on this machine (Linux)",
            )
        })
    }
}

impl Counting {
    /// User and system time of all threads since the start.
    ///
    /// # Errors
    /// The process is gone.
    pub(super) fn stop(&self) -> Result<Duration, Failure> {
        Ok(between(&self.before, &self.server.times()?))
    }
}

/// The run times of the threads, from the scheduler: `stat` counts in hundredths of a second.
fn times(tasks: &Path) -> io::Result<Times> {
    let mut times = Times::new();
    for task in fs::read_dir(tasks)? {
        let task = task?;
        // A thread may end between being listed and being read.
        let Ok(text) = fs::read_to_string(task.path().join("schedstat")) else { continue };
        let ran = text.split_whitespace().next().and_then(|ran| ran.parse().ok());
        times.insert(task.file_name().to_string_lossy().into_owned(), ran.ok_or(io::ErrorKind::InvalidData)?);
    }
    Ok(times)
}

/// What threads ran between two readings. A thread that is new began at none; one that ended is counted no further.
fn between(before: &Times, after: &Times) -> Duration {
    let ran = after.iter().map(|(thread, ran)| ran.saturating_sub(before.get(thread).copied().unwrap_or_default()));
    Duration::from_nanos(ran.sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_that_come_and_go_are_counted_for_what_they_ran() {
        let at = |times: &[(&str, u64)]| times.iter().map(|(thread, ran)| ((*thread).to_owned(), *ran)).collect::<Times>();
        let before = at(&[("1", 100), ("2", 50), ("3", 7)]);
        let after = at(&[("1", 150), ("2", 50), ("4", 30)]);
        assert_eq!(between(&before, &after), Duration::from_nanos(80));
    }

    #[test]
    fn a_process_that_is_not_there_is_told() {
        assert!(Server::new(u32::MAX).is_err());
    }

    #[test]
    fn own_memory_is_told() {
        assert!(Server::new(std::process::id()).unwrap().resident().unwrap() > 1_000);
    }

    #[test]
    fn own_work_is_counted() {
        let counting = Server::new(std::process::id()).unwrap().count().unwrap();
        let mut number = 0_u64;
        while counting.stop().unwrap() < Duration::from_millis(5) {
            number = std::hint::black_box(number.wrapping_mul(31).wrapping_add(1));
        }
    }
}

//! What the server spends: the CPU time of its process, and its instructions where `perf` is asked for.
//!
//! Must not live here: finding the process. Whose time is counted is the operator's to say.

use super::super::failure::Failure;
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use std::{fs, io};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};

/// The server's process on this machine.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pid: u32,
    perf: bool,
}

/// Counting, from its start to `stop`.
pub(super) struct Counting {
    server: Server,
    before: Times,
    perf: Option<Child>,
}

/// What was spent while counting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Spent {
    /// User and system time of all threads.
    pub(super) cpu: Duration,
    /// Instructions in user mode.
    pub(super) instructions: Option<u64>,
}

/// The time each thread has run, in nanoseconds.
type Times = BTreeMap<String, u64>;

impl Server {
    /// # Errors
    /// There is no such process, or it is hidden.
    pub(super) fn new(pid: u32, perf: bool) -> Result<Self, Failure> {
        let server = Self { pid, perf };
        server.times().map(|_| server)
    }

    /// Starts counting.
    ///
    /// # Errors
    /// The process is gone; `perf` cannot be run.
    pub(super) async fn count(self) -> Result<Counting, Failure> {
        let perf = if self.perf { Some(start_perf(self.pid).await.map_err(|error| no_perf(&error))?) } else { None };
        Ok(Counting { server: self, before: self.times()?, perf })
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
    /// Ends it.
    ///
    /// # Errors
    /// The process is gone; `perf` counted nothing.
    pub(super) async fn stop(self) -> Result<Spent, Failure> {
        let cpu = between(&self.before, &self.server.times()?);
        let instructions = match self.perf {
            Some(perf) => Some(read_perf(perf).await.map_err(|error| no_perf(&error))?),
            None => None,
        };
        Ok(Spent { cpu, instructions })
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

/// `perf stat` counts for as long as its command runs: a `cat`, which says by an echo that counting has begun, and ends
/// when its input does.
async fn start_perf(pid: u32) -> io::Result<Child> {
    let mut perf = Command::new("perf")
        .args(["stat", "-x", ",", "-e", "instructions:u", "-p", &pid.to_string(), "cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(stdin), Some(stdout)) = (&mut perf.stdin, &mut perf.stdout) else {
        return Err(io::ErrorKind::BrokenPipe.into());
    };
    stdin.write_all(b"\n").await?;
    if let Err(error) = stdout.read_exact(&mut [0]).await {
        let mut said = String::new();
        if let Some(stderr) = &mut perf.stderr {
            stderr.read_to_string(&mut said).await?;
        }
        return Err(io::Error::other(format!("{error}: {}", said.trim())));
    }
    Ok(perf)
}

async fn read_perf(mut perf: Child) -> io::Result<u64> {
    drop(perf.stdin.take());
    let output = perf.wait_with_output().await?;
    let said = String::from_utf8_lossy(&output.stderr);
    instructions(&said).ok_or_else(|| io::Error::other(said.trim().to_owned()))
}

/// The count in a line of `perf stat -x ,`.
fn instructions(said: &str) -> Option<u64> {
    said.lines().find(|line| line.contains("instructions"))?.split(',').next()?.parse().ok()
}

fn no_perf(error: &io::Error) -> Failure {
    Failure::local(format!("`perf stat` counted nothing: {error}"), "install perf and allow it, or leave out --perf")
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
    fn the_count_is_the_first_field() {
        assert_eq!(instructions("4711,,instructions:u,1000,100.00,,\n"), Some(4711));
        assert_eq!(instructions("<not supported>,,instructions:u,0,100.00,,\n"), None);
        assert_eq!(instructions(""), None);
    }

    #[test]
    fn a_process_that_is_not_there_is_told() {
        assert!(Server::new(u32::MAX, false).is_err());
    }

    #[tokio::test]
    async fn own_work_is_counted() {
        let counting = Server::new(std::process::id(), false).unwrap().count().await.unwrap();
        let mut hash = 0_u64;
        while counting.server.times().is_ok_and(|now| between(&counting.before, &now) < Duration::from_millis(5)) {
            hash = hash.wrapping_mul(31).wrapping_add(1);
        }
        let spent = counting.stop().await.unwrap();
        assert!(spent.cpu >= Duration::from_millis(5) && spent.instructions.is_none(), "{spent:?}");
    }
}

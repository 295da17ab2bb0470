//! An authority that only these tests know, and what it signed for a server, as files.

use crate::authority::Authority;
use std::path::PathBuf;
use tempfile::TempDir;

/// An authority, and a certificate of it for the loopback interface.
pub(crate) struct Certificates {
    directory: TempDir,
}

impl Certificates {
    pub(crate) fn new() -> Self {
        Self::of(&["127.0.0.1", "localhost"])
    }

    /// The certificate is for these hosts.
    pub(crate) fn of(hosts: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        std::fs::write(directory.path().join("authority.pem"), authority.pem()).unwrap();
        authority.server_of(hosts).write(directory.path(), "server");
        Self { directory }
    }

    pub(crate) fn authority(&self) -> PathBuf {
        self.directory.path().join("authority.pem")
    }

    /// What a server shows: its certificate, and the key of it.
    pub(crate) fn of_the_server(&self) -> (PathBuf, PathBuf) {
        (self.directory.path().join("server.pem"), self.directory.path().join("server.key"))
    }
}

//! By what a service is known to jeton beside its certificate: a key, or the token of its Kubernetes service account.

use crate::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tonic::Status;
use tonic::metadata::{Ascii, MetadataValue};

/// What is shown with every call as `authorization: Bearer`. Cheap to clone; never printed.
#[derive(Clone)]
pub struct CallerToken(Arc<Source>);

enum Source {
    Text(MetadataValue<Ascii>),
    File(PathBuf),
}

impl CallerToken {
    /// A key, as `jeton callers new-key` makes one.
    ///
    /// # Errors
    /// `NotSent`: it holds what no header can.
    pub fn new(text: &str) -> Result<Self, Error> {
        let header = header(text).map_err(|status| Error::NotSent(status.message().to_owned()))?;
        Ok(Self(Arc::new(Source::Text(header))))
    }

    /// What a file holds at the moment of each call: tokens of service accounts are exchanged within the hour. It should be small and in
    /// memory, as Kubernetes projects it.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        Self(Arc::new(Source::File(path.to_path_buf())))
    }

    pub(crate) fn header(&self) -> Result<MetadataValue<Ascii>, Status> {
        match &*self.0 {
            Source::Text(header) => Ok(header.clone()),
            Source::File(path) => {
                let text = std::fs::read_to_string(path);
                header(&text.map_err(|problem| Status::unauthenticated(format!("{} cannot be read: {problem}", path.display())))?)
            }
        }
    }
}

impl fmt::Debug for CallerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerToken(..)")
    }
}

fn header(text: &str) -> Result<MetadataValue<Ascii>, Status> {
    let shown = format!("Bearer {}", text.trim()).parse();
    let mut shown: MetadataValue<Ascii> = shown.map_err(|_no_header| Status::unauthenticated("the caller's token is none"))?;
    shown.set_sensitive(true);
    Ok(shown)
}

//! The ring of root keys at start: as given; or, on a store of this machine, one key made beside the data.

use crate::app::StartError;
use crate::config::{RootKeys, Settings, StoreUrl, written_key};
use crate::random;
use jeton_domain::secret::Secret;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use zeroize::Zeroizing;

/// The file beside the embedded store's data.
const FILE: &str = "root.key";

/// The ring, the active key first.
///
/// # Errors
/// `StartError::RootKey`, in words for the operator.
pub fn ring(settings: &Settings) -> Result<Vec<Secret<32>>, StartError> {
    if !settings.root_keys.is_empty() {
        return Ok(settings.root_keys.keys().to_vec());
    }
    match &settings.store {
        StoreUrl::Embedded(directory) => beside_the_data(&directory.join(FILE)),
        StoreUrl::Memory => Ok(vec![fresh()?]),
        StoreUrl::Redis(_) => Err(StartError::RootKey(
            "no root key: on Redis every replica needs the same one; make it with `jeton keys generate-root` and give it as JETON_ROOT_KEY or `root_key_file`"
                .into(),
        )),
    }
}

fn beside_the_data(path: &Path) -> Result<Vec<Secret<32>>, StartError> {
    let shown = path.display();
    let failed =
        |doing: &str, error: std::io::Error| StartError::RootKey(format!("cannot {doing} the root key `{shown}`: {error}"));
    match fs::read_to_string(path).map(Zeroizing::new) {
        Ok(text) => match RootKeys::parse(&text) {
            Ok(keys) if !keys.is_empty() => Ok(keys.keys().to_vec()),
            Ok(_) | Err(_) => Err(StartError::RootKey(format!(
                "the root key `{shown}` is garbled: put it back from a backup; without it nothing in this store can be read"
            ))),
        },
        Err(error) if error.kind() == ErrorKind::NotFound => {
            let key = fresh()?;
            let mut file =
                OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| failed("make", error))?;
            writeln!(file, "{}", *written_key(&key)).and_then(|()| file.sync_all()).map_err(|error| failed("write", error))?;
            path.parent()
                .map_or(Ok(()), |directory| File::open(directory)?.sync_all())
                .map_err(|error| failed("write", error))?;
            Ok(vec![key])
        }
        Err(error) => Err(failed("read", error)),
    }
}

fn fresh() -> Result<Secret<32>, StartError> {
    Ok(Secret::new(random::bytes()?))
}

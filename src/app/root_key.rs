//! The ring of root keys at start: as given; or, on a store of this machine, one key made beside the data.

use crate::app::StartError;
use crate::config::{RootKeys, Settings, StoreUrl, written_key};
use crate::random;
use crate::store::embedded;
use jeton_domain::secret::Secret;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
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

/// The same, where it is there: none is made.
///
/// # Errors
/// `StartError::RootKey`, in words for the operator.
pub fn held(settings: &Settings) -> Result<Vec<Secret<32>>, StartError> {
    let is_there = match &settings.store {
        StoreUrl::Embedded(directory) => directory.join(FILE).exists(),
        StoreUrl::Memory | StoreUrl::Redis(_) => false,
    };
    if settings.root_keys.is_empty() && !is_there {
        let problem = "no root key: give the ring as JETON_ROOT_KEY or `root_key_file`, or the store that it lies beside";
        return Err(StartError::RootKey(problem.into()));
    }
    ring(settings)
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
            let directory = path.parent().unwrap_or(Path::new("."));
            if directory.join(embedded::FILE_NAME).exists() {
                return Err(StartError::RootKey(format!(
                    "the root key `{shown}` is gone but its data is there: put it back from a backup; without it nothing in this store can be read"
                )));
            }
            embedded::make_directory(directory).map_err(|error| failed("make", error))?;
            let key = fresh()?;
            // Written aside and renamed, so that no half of a key is ever found.
            let aside = path.with_extension("new");
            let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&aside);
            let file = file.as_mut().map_err(|error| failed("make", io::Error::from(error.kind())))?;
            writeln!(file, "{}", *written_key(&key)).and_then(|()| file.sync_all()).map_err(|error| failed("write", error))?;
            fs::rename(&aside, path).map_err(|error| failed("write", error))?;
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(|error| failed("write", error))?;
            Ok(vec![key])
        }
        Err(error) => Err(failed("read", error)),
    }
}

fn fresh() -> Result<Secret<32>, StartError> {
    Ok(Secret::new(random::bytes()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_made_once_for_this_user_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("data").join(FILE);
        let made = beside_the_data(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(beside_the_data(&path).unwrap(), made);
    }

    #[test]
    fn a_lost_key_is_never_replaced_beside_its_data() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join(embedded::FILE_NAME), b"data").unwrap();
        let path = directory.path().join(FILE);
        let refused = beside_the_data(&path).unwrap_err().to_string();
        assert!(refused.contains("put it back from a backup"), "{refused}");
        assert!(!path.exists());
    }
}

//! The process's environment: read here and nowhere else.

use std::collections::BTreeMap;

/// Where environment variables come from: the process, or a map in tests.
pub trait Environment {
    /// The value of a variable, where it is set.
    fn read(&self, name: &str) -> Option<String>;
    /// The names of all variables that are set.
    fn names(&self) -> Vec<String>;
}

/// The process's own. What is not UTF-8 is replaced by U+FFFD, which no setting accepts.
#[derive(Clone, Copy, Debug, Default)]
pub struct ProcessEnvironment;

impl Environment for ProcessEnvironment {
    #[expect(clippy::disallowed_methods, reason = "this is the room that reads the environment")]
    fn read(&self, name: &str) -> Option<String> {
        std::env::var_os(name).map(|value| value.to_string_lossy().into_owned())
    }

    fn names(&self) -> Vec<String> {
        std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned()).collect()
    }
}

impl Environment for BTreeMap<String, String> {
    fn read(&self, name: &str) -> Option<String> {
        self.get(name).cloned()
    }

    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }
}

/// The ring of root keys.
pub const ROOT_KEY: &str = "JETON_ROOT_KEY";
/// The server that client commands call.
pub const SERVER: &str = "JETON_SERVER";
/// The authorities that client commands trust.
pub const CA_FILE: &str = "JETON_CA_FILE";
/// The certificate that client commands show.
pub const CALLER_CERTIFICATE_FILE: &str = "JETON_CALLER_CERTIFICATE_FILE";
/// Its key.
pub const CALLER_KEY_FILE: &str = "JETON_CALLER_KEY_FILE";
/// The file with the key or the service-account token that client commands show.
pub const CALLER_TOKEN_FILE: &str = "JETON_CALLER_TOKEN_FILE";
/// The client secret that client commands present.
pub const CLIENT_SECRET: &str = "JETON_CLIENT_SECRET";
/// The configuration file.
pub const CONFIG: &str = "JETON_CONFIG";

/// Set by Kubernetes in every pod.
pub const KUBERNETES: &str = "KUBERNETES_SERVICE_HOST";

/// The variables that are no setting of the file, and what they are for.
pub(super) const OTHERS: [(&str, &str); 8] = [
    (
        ROOT_KEY,
        "The ring of root keys: 64 hexadecimal digits each, comma between, the active one first. Excludes `root_key_file`.",
    ),
    (CONFIG, "The configuration file, where `--config` does not name one."),
    (SERVER, "The server that client commands call, where `--server` does not name one."),
    (
        CA_FILE,
        "The authorities that client commands trust at an https address, where `--ca-file` names none. Without: the machine's.",
    ),
    (
        CALLER_CERTIFICATE_FILE,
        "The certificate that client commands show, where `--caller-certificate-file` names none. Goes with `JETON_CALLER_KEY_FILE`.",
    ),
    (CALLER_KEY_FILE, "The key of that certificate, where `--caller-key-file` names none."),
    (
        CALLER_TOKEN_FILE,
        "The file with the caller's key or service-account token that client commands show, where `--caller-token-file` names none.",
    ),
    (CLIENT_SECRET, "The client secret that client commands present. Never an argument, for other users see those."),
];

/// Whether Kubernetes itself sets a variable of that name, for a service called `jeton` or `jeton-...` in the same namespace.
pub(super) fn is_of_kubernetes(name: &str, value: &str) -> bool {
    let address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| value.starts_with(scheme));
    let part = ["_TCP", "_UDP", "_SCTP"].iter().any(|protocol| {
        name.ends_with(protocol) || ["_PROTO", "_PORT", "_ADDR"].iter().any(|end| name.ends_with(&format!("{protocol}{end}")))
    });
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.contains("_PORT_") && part)
        || (name.ends_with("_PORT") && address)
}

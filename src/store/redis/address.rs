//! The address of a Redis as the operator writes it: what it names, and how it is shown without its secrets. Nothing is connected here.

use jeton_domain::secret::SecretText;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

const NO_REDIS: &str = "is no Redis: write redis://, redis+sentinel:// or redis+cluster://, with rediss for TLS";
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Where a Redis is and who we are there.
///
/// - `redis://[USER:PASSWORD@]HOST[:PORT][/DATABASE]`: one primary, always at that place
/// - `redis+sentinel://[USER:PASSWORD@]HOST[:PORT],.../NAME[/DATABASE]`: the primary that those Sentinels name
/// - `redis+cluster://[USER:PASSWORD@]HOST[:PORT],...`: a cluster of which these are some nodes
///
/// With `rediss` instead of `redis` all of it speaks TLS; `?ca_file=PATH` then names the authorities to trust instead of the machine's.
/// User and password are for the nodes with data, `?sentinel_user=..&sentinel_password=..` for the Sentinels where they demand one.
///
/// `Display` and `Debug` show no secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) deployment: Deployment,
    pub(super) tls: bool,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) login: Option<Login>,
    pub(super) sentinel_login: Option<Login>,
    pub(super) database: u16,
}

/// Which servers, and how they belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Deployment {
    Standalone(Node),
    /// The Sentinels, and the name under which they know the primary.
    Sentinel(Vec<Node>, String),
    /// Some of the nodes.
    Cluster(Vec<Node>),
}

/// Who we are; without a user Redis takes the one called `default`.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) user: Option<String>,
    pub(super) password: SecretText,
}

/// A host and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Node {
    /// A name or an IP address, without brackets.
    pub(super) host: Arc<str>,
    pub(super) port: u16,
}

impl Node {
    pub(super) fn new(host: &str, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl Address {
    /// Whether it is one of a Redis at all, by its beginning.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        text.starts_with("redis:") || text.starts_with("rediss:") || text.starts_with("redis+") || text.starts_with("rediss+")
    }

    /// Reads it.
    ///
    /// # Errors
    /// What is wrong and what would be right, said of the address. The text itself is never repeated: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts = Parts::of(text)?;
        let (tls, kind) = match (parts.scheme.strip_prefix("rediss"), parts.scheme.strip_prefix("redis")) {
            (Some(kind), _) => (true, kind),
            (None, Some(kind)) => (false, kind),
            (None, None) => return Err(NO_REDIS.into()),
        };
        let default_port = if kind == "+sentinel" { SENTINEL_PORT } else { PORT };
        let mut nodes: Vec<Node> = parts.hosts.split(',').map(|place| node(place, default_port)).collect::<Result<_, _>>()?;
        let (deployment, database) = match kind {
            "" => match (nodes.pop(), nodes.pop()) {
                (Some(node), None) => (Deployment::Standalone(node), parts.path),
                _ => {
                    return Err(
                        "names several hosts: write redis+sentinel:// for Sentinels, redis+cluster:// for a cluster".into()
                    );
                }
            },
            "+sentinel" => {
                let (name, database) = parts.path.split_once('/').unwrap_or((parts.path, ""));
                if name.is_empty() {
                    return Err(
                        "does not say which primary: write redis+sentinel://HOST:PORT,.../NAME with the name the Sentinels \
                                know it by"
                            .into(),
                    );
                }
                (Deployment::Sentinel(nodes, decoded(name)?), database)
            }
            "+cluster" => (Deployment::Cluster(nodes), parts.path),
            _ => return Err(NO_REDIS.into()),
        };
        let database = match database {
            "" => 0,
            number => number.parse().map_err(|_word| "names a database that is no number: write it such as /0")?,
        };
        if matches!(deployment, Deployment::Cluster(_)) && database != 0 {
            return Err("names a database, and a cluster has only number 0".into());
        }
        let login = parts.login.map(login).transpose()?;
        let mut address = Self { deployment, tls, ca_file: None, login, sentinel_login: None, database };
        address.options(parts.query)?;
        Ok(address)
    }

    fn options(&mut self, query: &str) -> Result<(), String> {
        let (mut user, mut password) = (None, None);
        for option in query.split('&').filter(|option| !option.is_empty()) {
            let (name, value) = option.split_once('=').unwrap_or((option, ""));
            let value = decoded(value)?;
            match name {
                "ca_file" if !self.tls => return Err("has a ca_file and speaks no TLS: begin it with rediss".into()),
                "ca_file" => self.ca_file = Some(value.into()),
                "sentinel_user" => user = Some(value),
                "sentinel_password" => password = Some(value),
                _ => return Err("has an option that is none: there are ca_file, sentinel_user and sentinel_password".into()),
            }
        }
        if (user.is_some() || password.is_some()) && !matches!(self.deployment, Deployment::Sentinel(..)) {
            return Err("has credentials for Sentinels and names none: begin it with redis+sentinel".into());
        }
        self.sentinel_login = match (user, password) {
            (None, None) => None,
            (Some(_), None) => return Err("has a sentinel_user without a sentinel_password".into()),
            (user, Some(password)) => Some(Login { user, password: password.into() }),
        };
        Ok(())
    }

    /// For people: passwords are left out, and all that stands behind the `?`.
    #[must_use]
    pub fn shown(&self) -> String {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let (kind, nodes, name) = match &self.deployment {
            Deployment::Standalone(node) => ("", std::slice::from_ref(node), String::new()),
            Deployment::Sentinel(nodes, name) => ("+sentinel", nodes.as_slice(), format!("/{name}")),
            Deployment::Cluster(nodes) => ("+cluster", nodes.as_slice(), String::new()),
        };
        let login = self.login.as_ref().map_or_else(String::new, |login| format!("{}:***@", login.user.as_deref().unwrap_or("")));
        let hosts: Vec<String> = nodes.iter().map(Node::to_string).collect();
        let database = if self.database == 0 { String::new() } else { format!("/{}", self.database) };
        format!("{scheme}{kind}://{login}{}{name}{database}", hosts.join(","))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.shown())
    }
}

/// An address cut where its marks are.
struct Parts<'a> {
    scheme: &'a str,
    login: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("is no URL: write redis://HOST:PORT")?;
        if !text.chars().all(|c| c.is_ascii_graphic()) {
            return Err("is not a URL: percent-encode spaces and other characters beyond ASCII".into());
        }
        // The last `@`: what stands before it may be a password that was not percent-encoded, and must not be taken for a host.
        let (login, rest) = rest.rsplit_once('@').map_or((None, rest), |(login, rest)| (Some(login), rest));
        if rest.contains('#') || login.is_some_and(|login| login.contains(['/', '?', '#'])) {
            return Err("is cut in two by a character: percent-encode `/`, `?`, `#` and `@` in names and passwords".into());
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        Ok(Self { scheme, login, hosts, path, query })
    }
}

fn login(text: &str) -> Result<Login, String> {
    let Some((user, password)) = text.split_once(':') else {
        return Err("has a user without a password: write USER:PASSWORD@, or :PASSWORD@ for the default user".into());
    };
    let user = Some(decoded(user)?).filter(|user| !user.is_empty());
    Ok(Login { user, password: decoded(password)?.into() })
}

fn node(place: &str, default: u16) -> Result<Node, String> {
    let (host, port) = match place.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (place, None),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = bare.unwrap_or(host);
    if host.is_empty() || (bare.is_none() && host.contains(':')) {
        return Err("names no host: write HOST:PORT, such as 127.0.0.1:6379 or [::1]:6379".into());
    }
    let port = port.map_or(Ok(default), str::parse);
    let port =
        port.map_err(|_word| "has a port that is no number from 0 to 65535; percent-encode `@`, `:` and `/` in a password")?;
    Ok(Node::new(host, port))
}

/// Undoes percent-encoding (RFC 3986 section 2.1).
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit =
            |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16)).and_then(|digit| u8::try_from(digit).ok());
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err("has a `%` without two hexadecimal digits: a percent sign itself is written %25".into());
        };
        bytes.push(high << 4 | low);
    }
    String::from_utf8(bytes).map_err(|_other| "has percent-encoded bytes that are no UTF-8".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_and_shown_without_its_secrets() {
        for (written, shown) in [
            ("redis://127.0.0.1", "redis://127.0.0.1:6379"),
            ("redis://[::1]:6380/3", "redis://[::1]:6380/3"),
            ("redis://redis:6379/", "redis://redis:6379"),
            ("rediss://jeton:hunter2@redis.internal/0", "rediss://jeton:***@redis.internal:6379"),
            ("redis://:hunter2@redis", "redis://:***@redis:6379"),
            ("redis://a:hunter2@hunter2@redis", "redis://a:***@redis:6379"),
            ("redis+sentinel://a,b:26380,[::1]/main", "redis+sentinel://a:26379,b:26380,[::1]:26379/main"),
            (
                "rediss+sentinel://u:hunter2@a/main/2?sentinel_user=hunter2&sentinel_password=hunter2&ca_file=/etc/ca.pem",
                "rediss+sentinel://u:***@a:26379/main/2",
            ),
            ("redis+cluster://u:hunter2@a:7000,b:7001", "redis+cluster://u:***@a:7000,b:7001"),
        ] {
            let address = Address::parse(written).expect(written);
            assert_eq!(address.shown(), shown);
            assert!(!format!("{address} {address:?} {address:#?}").contains("hunter2"), "{address:?}");
        }
    }

    #[test]
    fn what_is_percent_encoded_is_decoded() {
        let address = Address::parse("redis+sentinel://us%65r:p%40%3a%2F@s/m%61in?sentinel_password=%25").unwrap();
        let login = address.login.unwrap();
        assert_eq!((login.user.as_deref(), login.password.expose()), (Some("user"), "p@:/"));
        assert_eq!(address.deployment, Deployment::Sentinel(vec![Node::new("s", SENTINEL_PORT)], "main".into()));
        let login = address.sentinel_login.unwrap();
        assert_eq!((login.user, login.password.expose()), (None, "%"));
    }

    #[test]
    fn what_is_wrong_is_said_and_not_repeated() {
        for (bad, says) in [
            ("", "is no URL"),
            ("redis:hunter2", "is no URL"),
            ("http://u:hunter2@h", "is no Redis"),
            ("redis+unix://hunter2", "is no Redis"),
            ("redis://", "names no host"),
            ("redis://:hunter2@", "names no host"),
            ("redis://u:hunter2@h:x", "port"),
            ("redis://::1", "names no host"),
            ("redis://h o st/hunter2", "is not a URL"),
            ("redis://hunter2@h", "without a password"),
            ("redis://a:hunter2/hunter2@redis", "percent-encode"),
            ("rediss://u:hunter2@h/#insecure", "percent-encode"),
            ("redis://u:hunter%2@h", "hexadecimal"),
            ("redis://u:%ff@h", "UTF-8"),
            ("redis://h/hunter2", "database"),
            ("redis://a,b", "redis+sentinel://"),
            ("redis://h?password=hunter2", "option"),
            ("redis://h?ca_file=/hunter2", "rediss"),
            ("redis://h?sentinel_password=hunter2", "redis+sentinel"),
            ("redis+sentinel://h", "which primary"),
            ("redis+sentinel://h,/main", "names no host"),
            ("redis+sentinel://h/main?sentinel_user=hunter2", "sentinel_password"),
            ("redis+cluster://h/1", "number 0"),
        ] {
            let problem = Address::parse(bad).expect_err(bad);
            assert!(problem.contains(says) && !problem.contains("hunter2"), "{bad}: {problem}");
        }
    }
}

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize, Serializer};
use tokio_postgres::config::SslMode;
use weir_types::SinkName;

use super::{ConfigError, check::refuse};

/// What is shown in the place of a password.
const HIDDEN: &str = "***";

/// A database outside that projections fold into.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SinkConfig {
    /// `postgresql://user:password@host:port/database`. Its password is shown nowhere.
    #[serde(serialize_with = "hiding")]
    pub url: String,
}

impl fmt::Debug for SinkConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkConfig").field("url", &without_passwords(&self.url)).finish()
    }
}

fn hiding<S: Serializer>(url: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&without_passwords(url))
}

/// A sink as a flag gives it, `NAME=URL`. It is checked with the whole config, whose errors do not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SinkFlag {
    name: String,
    sink: SinkConfig,
}

impl SinkFlag {
    pub(super) fn into_entry(self) -> (String, SinkConfig) {
        (self.name, self.sink)
    }
}

impl FromStr for SinkFlag {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // Without a name it is refused by the check.
        let (name, url) = text.split_once('=').unwrap_or(("", text));
        Ok(Self { name: name.trim().to_owned(), sink: SinkConfig { url: url.trim().to_owned() } })
    }
}

impl fmt::Debug for SinkFlag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}", self.name, self.sink)
    }
}

/// The sinks of a config, each as it is connected to.
///
/// # Errors
/// [`ConfigError::Value`], which shows no URL.
pub(super) fn sinks(
    configs: &BTreeMap<String, SinkConfig>,
) -> Result<BTreeMap<SinkName, tokio_postgres::Config>, ConfigError> {
    configs.iter().map(|(name, config)| sink(name, &config.url)).collect()
}

fn sink(name: &str, url: &str) -> Result<(SinkName, tokio_postgres::Config), ConfigError> {
    if name.is_empty() {
        return Err(refuse("sinks", "hold one without a name; a flag is `NAME=postgresql://…`"));
    }
    let legal = SinkName::new(name).map_err(|error| refuse("sinks", error.to_string()))?;
    let bad = |why: &str| {
        let form = "postgresql://user:password@host:port/database";
        refuse("sinks", format!("hold `{name}`, whose url {why}; it is `{form}`"))
    };
    if !url.starts_with("postgresql://") && !url.starts_with("postgres://") {
        return Err(bad("does not begin with postgresql://"));
    }
    // The parser's words may hold a part of the password.
    let mut config: tokio_postgres::Config = url.parse().map_err(|_| bad("cannot be read"))?;
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(bad("names no host"));
    }
    if config.get_user().is_none_or(str::is_empty) {
        return Err(bad("names no user"));
    }
    if config.get_dbname().is_none_or(str::is_empty) {
        return Err(bad("names no database"));
    }
    // Whether there is TLS is not left to who is in between.
    if config.get_ssl_mode() == SslMode::Prefer {
        config.ssl_mode(SslMode::Disable);
    }
    Ok((legal, config))
}

/// A text with the passwords of its URLs hidden.
pub(super) fn without_passwords(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + "://".len());
        shown.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || c == '"' || c == '\'').unwrap_or(after.len());
        let (url, next) = after.split_at(end);
        shown.push_str(&hidden(url));
        rest = next;
    }
    shown.push_str(rest);
    shown
}

/// What follows `://`, with the password hidden. It may hold an `@` that should have been encoded.
fn hidden(url: &str) -> String {
    let Some((user, host)) = url.rsplit_once('@') else { return url.to_owned() };
    match user.split_once(':') {
        Some((user, _)) => format!("{user}:{HIDDEN}@{host}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, url: &str) -> Result<(), String> {
        let configs = BTreeMap::from([(name.to_owned(), SinkConfig { url: url.to_owned() })]);
        sinks(&configs).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn a_sink_is_a_url_with_a_user_a_host_and_a_database() {
        assert_eq!(checked("reporting", "postgresql://weir:secret@db.example:5432/reports"), Ok(()));
        assert_eq!(checked("r", "postgresql://weir:se?cret=1@db/reports"), Ok(()));
        assert_eq!(checked("r", "postgresql://weir:secret@db/reports?sslmode=require"), Ok(()));
        assert_eq!(checked("r", "postgres://weir@127.0.0.1/reports?connect_timeout=3"), Ok(()));
        for (name, url, why) in [
            ("", "postgresql://weir:secret@db/reports", "without a name"),
            ("a b", "postgresql://weir:secret@db/reports", "holds ` `"),
            ("r", "mysql://weir:secret@db/reports", "does not begin with"),
            ("r", "postgresql://weir:secret@db:x/reports", "cannot be read"),
            ("r", "postgresql:///reports?user=weir", "names no host"),
            ("r", "postgresql://db/reports", "names no user"),
            ("r", "postgresql://weir:secret@db", "names no database"),
        ] {
            let error = checked(name, url).unwrap_err();
            assert!(error.contains(why), "{url}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn passwords_are_hidden() {
        for (text, shown) in [
            ("postgresql://weir:secret@db/reports", "postgresql://weir:***@db/reports"),
            ("url = \"postgres://w:a@b@db/x\" # at 3", "url = \"postgres://w:***@db/x\" # at 3"),
            ("http://a:1 and nats://u:p@h", "http://a:1 and nats://u:***@h"),
            ("postgresql://weir@db/reports", "postgresql://weir@db/reports"),
        ] {
            assert_eq!(without_passwords(text), shown);
        }
    }
}

//! Which node to ask.

use reqwest::Url;

use crate::ClientError;

/// The nodes that the user named, one of them or the leader in use.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints {
    named: Vec<String>,
    next: usize,
    leader: Option<String>,
}

impl Endpoints {
    /// Takes the user's addresses: `http://host:port`, each perhaps a list with commas.
    pub(crate) fn new<S: AsRef<str>>(urls: impl IntoIterator<Item = S>) -> Result<Self, ClientError> {
        let mut named = Vec::new();
        for list in urls {
            for url in list.as_ref().split(',').map(str::trim).filter(|url| !url.is_empty()) {
                named.push(checked(url)?);
            }
        }
        if named.is_empty() {
            return Err(ClientError::Address { url: String::new(), reason: "no address is given".into() });
        }
        Ok(Self { named, next: 0, leader: None })
    }

    /// The node to ask now.
    pub(crate) fn current(&self) -> &str {
        self.leader.as_deref().unwrap_or(&self.named[self.next])
    }

    /// Every node that the user named, the one in use first.
    pub(crate) fn named(&self) -> Vec<String> {
        let count = self.named.len();
        (0..count).map(|step| self.named[(self.next + step) % count].clone()).collect()
    }

    /// The node did not do well: ask another one, unless another caller has moved on already.
    pub(crate) fn failed(&mut self, url: &str) {
        if self.current() != url {
            return;
        }
        if self.leader.take().is_none() {
            self.next = (self.next + 1) % self.named.len();
        }
    }

    /// This node leads.
    pub(crate) fn found_leader(&mut self, url: String) {
        self.leader = Some(url);
    }
}

/// The address without a trailing slash.
pub(crate) fn checked(url: &str) -> Result<String, ClientError> {
    let refuse = |reason: &str| Err(ClientError::Address { url: url.into(), reason: reason.into() });
    match Url::parse(url) {
        _ if !url.to_ascii_lowercase().starts_with("http://") => refuse("it does not begin with http://"),
        Ok(parsed) if parsed.host_str().is_none() => refuse("it has no host"),
        Ok(parsed) if parsed.path() != "/" || parsed.query().is_some() => refuse("it has a path or a query"),
        Ok(_) => Ok(url.trim_end_matches('/').to_owned()),
        Err(error) => refuse(&error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_checked() {
        let named = Endpoints::new(["http://a:9123/, http://b:9123", "http://c:9123"]).unwrap().named();
        assert_eq!(named, ["http://a:9123", "http://b:9123", "http://c:9123"]);
        for bad in ["", "a:9123", "https://a", "http://", "http://a/api", "ftp://a"] {
            assert!(Endpoints::new([bad]).is_err(), "{bad}");
        }
        let why = Endpoints::new(["127.0.0.1:9123"]).err().unwrap().to_string();
        assert_eq!(why, "server address `127.0.0.1:9123` is not legal: it does not begin with http://");
    }

    #[test]
    fn a_failed_node_is_left_once() {
        let mut endpoints = Endpoints::new(["http://a,http://b"]).unwrap();
        endpoints.failed("http://a");
        endpoints.failed("http://a");
        assert_eq!(endpoints.current(), "http://b");
        endpoints.found_leader("http://l".into());
        assert_eq!(endpoints.current(), "http://l");
        endpoints.failed("http://l");
        assert_eq!(endpoints.current(), "http://b");
        endpoints.failed("http://b");
        assert_eq!(endpoints.current(), "http://a");
    }
}

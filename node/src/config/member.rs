use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use weir_types::NodeId;

/// A member of a cluster: `ID=PEER_HOST:PORT,http://EDGE_HOST:PORT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Member {
    /// Its id, from 1.
    pub node: NodeId,
    /// Where its peers reach it: host and port.
    pub peer: String,
    /// Where clients reach it: an `http://` URL without a path.
    pub edge: String,
}

impl Member {
    /// `host:port` of the edge.
    #[must_use]
    pub fn edge_address(&self) -> &str {
        self.edge.strip_prefix("http://").unwrap_or(&self.edge)
    }
}

impl FromStr for Member {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refuse = |why: &str| format!("member `{text}` {why}; a member is `1=host:9124,http://host:9123`");
        let (id, addresses) = text.split_once('=').ok_or_else(|| refuse("has no `=`"))?;
        let id: u64 = id.trim().parse().map_err(|_| refuse("has no number before `=`"))?;
        if id == 0 {
            return Err(refuse("has the id 0"));
        }
        let (peer, edge) =
            addresses.split_once(',').ok_or_else(|| refuse("has no `,` before the edge's URL"))?;
        let (peer, edge) = (peer.trim(), edge.trim().trim_end_matches('/'));
        check_host_port(peer).map_err(|why| refuse(&why))?;
        check_url(edge).map_err(|why| refuse(&why))?;
        Ok(Self { node: NodeId(id), peer: peer.to_owned(), edge: edge.to_owned() })
    }
}

/// Checks `host:port`.
pub(crate) fn check_host_port(text: &str) -> Result<(), String> {
    let (host, port) = text.rsplit_once(':').ok_or_else(|| format!("address `{text}` has no port"))?;
    let odd = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | '@' | '?' | '#' | ',');
    if host.is_empty() || host.contains(odd) {
        return Err(format!("address `{text}` has no legal host"));
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok(()),
        _ => Err(format!("address `{text}` has no legal port")),
    }
}

/// Checks `http://host:port`.
pub(crate) fn check_url(text: &str) -> Result<(), String> {
    let rest =
        text.strip_prefix("http://").ok_or_else(|| format!("URL `{text}` does not begin with http://"))?;
    check_host_port(rest)
}

impl TryFrom<String> for Member {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Member> for String {
    fn from(member: Member) -> Self {
        member.to_string()
    }
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={},{}", self.node, self.peer, self.edge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_read_back_as_they_were_written() {
        for text in ["1=127.0.0.1:9124,http://127.0.0.1:9123", "3=weir-2.weir:9124,http://[::1]:9123"] {
            assert_eq!(text.parse::<Member>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn bad_members_are_refused_with_the_reason() {
        for (text, why) in [
            ("127.0.0.1:9124", "no `=`"),
            ("x=a:1,http://a:2", "no number"),
            ("0=a:1,http://a:2", "the id 0"),
            ("1=a:1", "no `,`"),
            ("1=a,http://a:2", "no port"),
            ("1=a:99999,http://a:2", "no legal port"),
            ("1=a:1,ftp://a:2", "http://"),
            ("1=a b:1,http://a:2", "no legal host"),
        ] {
            let error = text.parse::<Member>().unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}

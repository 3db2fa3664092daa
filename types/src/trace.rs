//! The W3C trace context of a call: `traceparent` and `tracestate`, read from
//! headers, and their place in an event's metadata.
//!
//! They are the first members of the metadata's object, so that what the client
//! wrote itself is found again without reading JSON. A trace is not content: the
//! retry of an append has another one, and is the same append.

use std::fmt::Write as _;

use bytes::Bytes;

/// Bytes of a `traceparent` of version 00.
const PARENT_BYTES: usize = 55;
/// Bytes of all of `tracestate`; a longer one is left out.
const STATE_BYTES_MAX: usize = 512;
/// Members of `tracestate`; one with more is left out.
const STATE_MEMBERS_MAX: usize = 32;
const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 256;
const PARENT_OPENS: &[u8] = b"\"traceparent\":\"";
const STATE_OPENS: &[u8] = b",\"tracestate\":\"";

/// Where in a distributed trace a call stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    /// A `traceparent` of version 00.
    parent: String,
    /// A legal `tracestate`, or nothing.
    state: String,
}

impl TraceContext {
    /// Reads the headers of a call. `state` are the values of all its `tracestate` headers, in order. A malformed
    /// `traceparent` is none, and a malformed or too long `tracestate` is left out, as the recommendation says.
    #[must_use]
    pub fn read<'a>(parent: &str, state: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let parent = legal_parent(parent)?;
        let state = state.into_iter().collect::<Vec<_>>().join(",");
        let state = if is_legal_state(&state) {
            members(&state).collect::<Vec<_>>().join(",")
        } else {
            String::new()
        };
        Some(Self { parent, state })
    }

    /// The context as `traceparent` says it, in version 00.
    #[must_use]
    pub fn parent(&self) -> &str {
        &self.parent
    }

    /// Metadata, which is an object or nothing, that begins with the context.
    #[must_use]
    pub fn put_in(&self, metadata: &[u8]) -> Bytes {
        let mut text = format!("\"traceparent\":\"{}\"", self.parent);
        if !self.state.is_empty() {
            let state = self.state.replace('\\', "\\\\").replace('"', "\\\"");
            let _ = write!(text, ",\"tracestate\":\"{state}\"");
        }
        let opens = metadata.iter().position(|byte| *byte == b'{');
        Bytes::from(match opens {
            None => format!("{{{text}}}").into_bytes(),
            Some(at) => [&metadata[..=at], text.as_bytes(), b",", &metadata[at + 1..]].concat(),
        })
    }
}

/// Metadata without the trace context that it begins with, in two parts.
#[must_use]
pub fn untraced(metadata: &[u8]) -> [&[u8]; 2] {
    let opens = metadata.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
    let (before, inside) = metadata.split_at(opens);
    match behind_trace(inside) {
        None => [metadata, b""],
        Some([b',', behind @ ..]) => [before, behind],
        Some(_) => [b"", b""],
    }
}

/// What follows the context that the members of an object begin with: `,` and others, or the end.
fn behind_trace(inside: &[u8]) -> Option<&[u8]> {
    let (parent, mut rest) = inside.strip_prefix(PARENT_OPENS)?.split_at_checked(PARENT_BYTES)?;
    is_parent(parent).then_some(())?;
    rest = rest.strip_prefix(b"\"")?;
    if let Some(state) = rest.strip_prefix(STATE_OPENS) {
        rest = &state[end_of_text(state)? + 1..];
    }
    matches!(rest, [b',', ..] | b"}").then_some(rest)
}

/// Where the quote is that ends a JSON string.
fn end_of_text(text: &[u8]) -> Option<usize> {
    let mut escaped = false;
    text.iter().position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    })
}

/// The header in version 00. A later version begins as this one does, and may go on after a `-`.
fn legal_parent(header: &str) -> Option<String> {
    let header = header.trim_matches([' ', '\t']).as_bytes();
    let (known, more) = header.split_at_checked(PARENT_BYTES)?;
    let version = known.split_at(2).0;
    let fits = match (version, more) {
        (b"ff", _) => false,
        (b"00", more) => more.is_empty(),
        (version, []) => is_hex(version),
        (version, more) => is_hex(version) && more[0] == b'-',
    };
    let parent = [b"00", &known[2..]].concat();
    (fits && is_parent(&parent)).then(|| String::from_utf8(parent).ok()).flatten()
}

/// Whether it is a `traceparent` of version 00.
fn is_parent(text: &[u8]) -> bool {
    let fields: Vec<&[u8]> = text.split(|byte| *byte == b'-').collect();
    let [b"00", trace, span, flags] = fields[..] else { return false };
    let is_id = |id: &[u8], digits| id.len() == digits && is_hex(id) && id.iter().any(|digit| *digit != b'0');
    is_id(trace, 32) && is_id(span, 16) && flags.len() == 2 && is_hex(flags)
}

fn is_hex(text: &[u8]) -> bool {
    text.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Members that are not empty, without the space around them.
fn members(state: &str) -> impl Iterator<Item = &str> {
    state.split(',').map(|member| member.trim_matches([' ', '\t'])).filter(|member| !member.is_empty())
}

fn is_legal_state(state: &str) -> bool {
    let keys: Option<Vec<&str>> = members(state).map(key_of).collect();
    let Some(mut keys) = keys else { return false };
    keys.sort_unstable();
    let twice = keys.windows(2).any(|pair| pair[0] == pair[1]);
    state.len() <= STATE_BYTES_MAX && keys.len() <= STATE_MEMBERS_MAX && !twice
}

/// The key of a legal member.
fn key_of(member: &str) -> Option<&str> {
    let (key, value) = member.split_once('=')?;
    let begins = |part: &str| part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
    let holds =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '*' | '/' | '@');
    let legal = begins(key) && key.chars().all(holds) && key.len() <= KEY_BYTES_MAX;
    let printable = |c: char| matches!(c, ' '..='~') && c != '=';
    let sound = !value.is_empty() && value.len() <= VALUE_BYTES_MAX && value.chars().all(printable);
    (legal && sound).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_parent_is_taken_or_there_is_none() {
        let later = PARENT.replacen("00", "cc", 1);
        let longer = format!("{later}-what-the-future-holds");
        let spaced = format!(" {PARENT}\t");
        for legal in [PARENT, &later, &longer, &spaced] {
            let context = TraceContext::read(legal, []);
            assert_eq!(context.as_ref().map(TraceContext::parent), Some(PARENT), "{legal}");
        }
        let bad = [
            String::new(),
            "00".to_owned(),
            PARENT.replacen("00", "ff", 1),
            PARENT.replacen("00", "0x", 1),
            PARENT.to_uppercase(),
            PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            PARENT.replace("00f067aa0ba902b7", &"0".repeat(16)),
            PARENT.replace("-01", "-0"),
            PARENT.replace("-01", "-0g"),
            PARENT.replace("-01", "_01"),
            format!("{PARENT}-01"),
            format!("{PARENT}0"),
            format!("{later}01"),
            PARENT[..54].to_owned(),
            format!("{PARENT},{PARENT}"),
            PARENT.replace("4bf9", "4bü"),
            "ü".repeat(28),
        ];
        for bad in bad {
            assert_eq!(TraceContext::read(&bad, []), None, "{bad}");
        }
    }

    #[test]
    fn a_state_is_taken_whole_or_left_out() {
        let many = (0..32).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join(",");
        for (given, kept) in [
            (vec!["rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"], "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE"),
            (vec!["a=1", " b=2\t,, c@x=3"], "a=1,b=2,c@x=3"),
            (vec!["a=with space and \"\\!"], "a=with space and \"\\!"),
            (vec!["1a_-*/=~"], "1a_-*/=~"),
            (vec![&many], &many),
            (vec![], ""),
            (vec!["a"], ""),
            (vec!["a="], ""),
            (vec!["=1"], ""),
            (vec!["A=1"], ""),
            (vec!["a=1=2"], ""),
            (vec!["a=1,b"], ""),
            (vec!["a=1,a=2"], ""),
            (vec!["a=é"], ""),
            (vec!["a=\u{7f}"], ""),
            (vec![&many, "l=1"], ""),
            (vec![&format!("a={}", "x".repeat(256)), &format!("b={}", "x".repeat(256))], ""),
        ] {
            let context = TraceContext::read(PARENT, given.iter().copied()).unwrap();
            assert_eq!(context.state, kept, "{given:?}");
        }
    }

    #[test]
    fn what_the_client_wrote_is_found_again() {
        let plain = TraceContext::read(PARENT, []).unwrap();
        let full = TraceContext::read(PARENT, ["a=\"\\\",b=\\"]).unwrap();
        for context in [plain, full] {
            for metadata in ["", r#"{"a":1}"#, r#" { "a" : {"traceparent":"x"} } "#] {
                let traced = context.put_in(metadata.as_bytes());
                assert!(traced.windows(PARENT_BYTES).any(|text| text == PARENT.as_bytes()));
                assert_eq!(untraced(&traced).concat(), metadata.as_bytes(), "{traced:?}");
                assert_eq!(untraced(metadata.as_bytes()).concat(), metadata.as_bytes());
            }
        }
    }

    #[test]
    fn what_only_resembles_a_trace_is_content() {
        let parent = format!("\"traceparent\":\"{PARENT}\"");
        for metadata in [
            format!("{{\"a\":1,{parent}}}"),
            format!("{{{parent} }}"),
            format!("{{{parent}, \"tracestate\":\"").replace(", ", ","),
            "{\"traceparent\":\"\"}".to_owned(),
            format!("{{\"traceparent\":\"{}\"}}", "é".repeat(28)),
            "{\"traceparent\":".to_owned(),
        ] {
            assert_eq!(untraced(metadata.as_bytes()), [metadata.as_bytes(), b""], "{metadata}");
        }
    }
}

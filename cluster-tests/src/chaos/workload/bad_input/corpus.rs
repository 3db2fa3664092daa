//! Strings and bodies that break what is careless.

use weir_types::limits;

/// A request body that no server may accept.
#[derive(Debug, Clone)]
pub(super) struct Body {
    pub(super) what: &'static str,
    /// Whether it goes to the Connect service.
    pub(super) connect: bool,
    /// `MARK` stands where the mark belongs.
    text: Vec<u8>,
}

impl Body {
    /// The bytes with a mark in them, by which it would be found if it got in.
    pub(super) fn with_mark(&self, mark: &str) -> Vec<u8> {
        let place = self.text.windows(4).position(|bytes| bytes == b"MARK");
        let Some(at) = place else { return self.text.clone() };
        [&self.text[..at], mark.as_bytes(), &self.text[at + 4..]].concat()
    }
}

/// Names that look like structure in some language: every one of them is data, or refused.
const LOOKS_LIKE_STRUCTURE: &[&str] = &[
    "",
    "*",
    ">",
    "a.*",
    "a.>",
    "*.a",
    "a.b",
    "a.b.c",
    ".",
    "..",
    "...",
    ".a",
    "a.",
    "a..b",
    "$SYS",
    "$SYS.>",
    "$JS.API.>",
    "$JS.API.STREAM.DELETE.WEIR_1",
    "_INBOX.x",
    "weir.1.>",
    "WEIR_1",
    "default",
    "default/default",
    "/",
    "//",
    "a/",
    "/a",
    "a/b",
    "a//b",
    "../../etc/passwd",
    "..\\..\\windows",
    "/etc/passwd",
    "file:///etc/passwd",
    "%2e%2e%2f",
    "%00",
    "%0d%0a",
    "%25",
    "%",
    "%zz",
    "%2F",
    "a%2Fb",
    "%E0%80%AF",
    "+",
    "a+b",
    " ",
    "  ",
    "a b",
    " a",
    "a ",
    "?",
    "a?b=c",
    "#",
    "a#b",
    "&",
    "a&limit=0",
    "=",
    ";",
    "a;b",
    ",",
    ":",
    "@",
    "!",
    "~",
    "`",
    "^",
    "|",
    "\\",
    "\\\\",
    "\\n",
    "\\0",
    "\"",
    "\"\"",
    "'",
    "''",
    "<",
    "<>",
    "<script>alert(1)</script>",
    "{",
    "}",
    "{}",
    "[]",
    "[0]",
    "$",
    "$.a",
    "$..*",
    "$[?(@.x)]",
    "${x}",
    "${jndi:ldap://x}",
    "{{7*7}}",
    "#{7*7}",
    "%s%s%n",
    "%n",
    "$(reboot)",
    "`reboot`",
    "; rm -rf /",
    "| cat",
    "' OR 1=1 --",
    "'; DROP TABLE events; --",
    "1; SELECT pg_sleep(1)",
    "__proto__",
    "constructor",
    "prototype",
    "hasOwnProperty",
    "toString",
    "null",
    "undefined",
    "NaN",
    "Infinity",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "1",
    "00",
    "01",
    "1.0",
    "1e3",
    "1e999",
    "0x10",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "nil",
    "None",
    "con",
    "nul",
    "aux",
    ".git",
    ".env",
    "__global__",
    "local",
    "linearizable",
    "any",
    "none",
    "a:b:c",
    "00000000-0000-0000-0000-000000000000",
    "health",
    "api",
    "v1",
    "content-length: 0",
    "host",
    "\u{feff}",
    "bad-input-names\u{feff}",
];

/// Letters that are not what they seem.
const SEEMS_ELSE: &[&str] = &[
    "größe",
    "gro\u{308}ße",
    "e\u{301}",
    "é",
    "Å",
    "A\u{30a}",
    "\u{212b}",
    "ﬁ",
    "fi",
    "İ",
    "i",
    "ı",
    "ß",
    "ss",
    "K",
    "\u{212a}",
    "ⅷ",
    "①",
    "日本語",
    "العربية",
    "עברית",
    "ไทย",
    "한국어",
    "한",
    "🦀",
    "👩‍👩‍👧‍👦",
    "🇩🇪",
    "\u{202e}x",
    "x\u{202e}",
    "\u{202a}x\u{202c}",
    "\u{2066}x\u{2069}",
    "\u{200b}",
    "a\u{200b}b",
    "\u{200c}",
    "\u{200d}",
    "\u{200e}",
    "\u{200f}",
    "\u{2028}",
    "\u{2029}",
    "\u{00a0}",
    "\u{3000}",
    "\u{180e}",
    "\u{00ad}",
    "\u{034f}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{d7ff}",
    "\u{e000}",
    "\u{f8ff}",
    "\u{10ffff}",
    "\u{1f4a9}",
    "\u{e0001}",
    "a\u{300}\u{301}\u{302}\u{303}\u{304}",
    "\u{1d11e}",
    "\u{0130}",
];

/// Lengths around the limits, in bytes.
const LENGTHS: &[usize] = &[1, 119, 120, 121, 127, 128, 129, 255, 256, 257, 511, 512, 513, 4_096, 8_000];

/// All strings: about 350.
pub(super) fn strings() -> Vec<String> {
    let mut all: Vec<String> =
        LOOKS_LIKE_STRUCTURE.iter().chain(SEEMS_ELSE).map(|&text| text.to_owned()).collect();
    let controls = (0..0x20).chain(0x7f..0xa0).filter_map(char::from_u32);
    all.extend(controls.map(|control| format!("a{control}b")));
    all.extend(
        ["\r\nPUB x 0\r\n", "a\0", "\0a", "a\r\nset-cookie: x=1", "\n", "\t", "\u{1b}[31m"]
            .map(str::to_owned),
    );
    for length in LENGTHS {
        all.push("x".repeat(*length));
        // The same length in letters of two bytes, which a cut in the middle would break.
        all.push("ö".repeat(length / 2));
    }
    // Keys that begin alike: nothing that scans by a beginning may find the longer one.
    all.extend(["p", "p/", "p.", "pp", "p\u{10ffff}", "p-", "p%"].map(str::to_owned));
    // The lists overlap, and lengths a byte apart have as many letters of two bytes.
    all.sort_unstable();
    all.dedup();
    all
}

/// All bodies.
pub(super) fn bodies() -> Vec<Body> {
    let rest = |what, text: &[u8]| Body { what, connect: false, text: text.to_vec() };
    let connect = |what, text: &[u8]| Body { what, connect: true, text: text.to_vec() };
    let deep = format!(
        r#"{{"entityType":"t","name":"n","data":{{"op":"MARK","x":{}{}}}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    let deepest = format!(r#"{{"entityType":"t","name":"n","data":{}"#, "[".repeat(10_000));
    let many = format!(
        r#"{{"entityType":"t","events":[{{"name":"n","data":{{"op":"MARK"}}}}{}]}}"#,
        r#",{"name":"n"}"#.repeat(limits::APPEND_EVENTS_MAX)
    );
    let wide = format!(
        r#"{{"entityType":"t","name":"n","data":{{"op":"MARK","x":"{}"}}}}"#,
        "x".repeat(limits::EVENT_DATA_BYTES_MAX)
    );
    let mut all: Vec<Body> = REST_BODIES.iter().map(|(what, text)| rest(what, text)).collect();
    all.extend(CONNECT_BODIES.iter().map(|(what, text)| connect(what, text)));
    all.extend([
        rest("data nested too deep", deep.as_bytes()),
        rest("data nested far too deep, and cut", deepest.as_bytes()),
        rest("1,001 events", many.as_bytes()),
        rest("data over its limit", wide.as_bytes()),
    ]);
    all
}

const REST_BODIES: &[(&str, &[u8])] = &[
    ("nothing", b""),
    ("text", b"hello MARK"),
    ("half of an object", br#"{"entityType":"t","name":"n","data":{"op":"MARK"}"#),
    ("two objects", br#"{"entityType":"t","name":"n","data":{"op":"MARK"}}{"entityType":"t","name":"n"}"#),
    ("a list", br#"[{"entityType":"t","name":"n","data":{"op":"MARK"}}]"#),
    ("null", b"null"),
    ("a number", b"7"),
    ("bytes that are no UTF-8", b"{\"entityType\":\"t\",\"name\":\"n\xff\",\"data\":{\"op\":\"MARK\"}}"),
    ("an overlong slash", b"{\"entityType\":\"t\",\"name\":\"a\xc0\xafb\",\"data\":{\"op\":\"MARK\"}}"),
    (
        "a surrogate in UTF-8",
        b"{\"entityType\":\"t\",\"name\":\"a\xed\xa0\x80b\",\"data\":{\"op\":\"MARK\"}}",
    ),
    ("a lone surrogate as a name", br#"{"entityType":"t","name":"\ud800","data":{"op":"MARK"}}"#),
    ("two high surrogates", br#"{"entityType":"t","name":"\ud800\ud800","data":{"op":"MARK"}}"#),
    ("data that is no JSON", br#"{"entityType":"t","name":"n","data":{"op":"MARK","x":NaN}}"#),
    ("data with a comment", br#"{"entityType":"t","name":"n","data":{"op":"MARK"/*x*/}}"#),
    ("data with a trailing comma", br#"{"entityType":"t","name":"n","data":{"op":"MARK",}}"#),
    (
        "data with a bare control character",
        b"{\"entityType\":\"t\",\"name\":\"n\",\"data\":{\"op\":\"MARK\",\"x\":\"a\nb\"}}",
    ),
    ("an unknown field", br#"{"entityType":"t","name":"n","data":{"op":"MARK"},"expectedVersoin":1}"#),
    ("a field twice", br#"{"entityType":"t","name":"n","name":"m","data":{"op":"MARK"}}"#),
    ("a version below -2", br#"{"entityType":"t","name":"n","expectedVersion":-3,"data":{"op":"MARK"}}"#),
    ("half a version", br#"{"entityType":"t","name":"n","expectedVersion":1.5,"data":{"op":"MARK"}}"#),
    (
        "a version past i64",
        br#"{"entityType":"t","name":"n","expectedVersion":9223372036854775808,"data":{"op":"MARK"}}"#,
    ),
    ("a version of 1e999", br#"{"entityType":"t","name":"n","expectedVersion":1e999,"data":{"op":"MARK"}}"#),
    ("a version in words", br#"{"entityType":"t","name":"n","expectedVersion":"all","data":{"op":"MARK"}}"#),
    (
        "a version that is an object",
        br#"{"entityType":"t","name":"n","expectedVersion":{},"data":{"op":"MARK"}}"#,
    ),
    ("no events", br#"{"entityType":"t","events":[]}"#),
    ("events that are no list", br#"{"entityType":"t","events":{"name":"n","data":{"op":"MARK"}}}"#),
    (
        "one good event and a bad one",
        br#"{"entityType":"t","events":[{"name":"n","data":{"op":"MARK"}},{"name":""}]}"#,
    ),
    ("a name that is a number", br#"{"entityType":"t","name":7,"data":{"op":"MARK"}}"#),
    ("metadata that is a list", br#"{"entityType":"t","name":"n","metadata":[1],"data":{"op":"MARK"}}"#),
    ("a time that is none", br#"{"entityType":"t","name":"n","occurredAt":"noon","data":{"op":"MARK"}}"#),
    (
        "a 13th month",
        br#"{"entityType":"t","name":"n","occurredAt":"2026-13-01T00:00:00Z","data":{"op":"MARK"}}"#,
    ),
    ("a source that is none", br#"{"entityType":"t","name":"n","source":"elsewhere","data":{"op":"MARK"}}"#),
    (
        "another id in the body",
        br#"{"entityId":"elsewhere","entityType":"t","name":"n","data":{"op":"MARK"}}"#,
    ),
    ("a NUL in the type", br#"{"entityType":"t\u0000","name":"n","data":{"op":"MARK"}}"#),
    ("a NATS command in the name", br#"{"entityType":"t","name":"n\r\nPUB x 0\r\n","data":{"op":"MARK"}}"#),
];

const CONNECT_BODIES: &[(&str, &[u8])] = &[
    ("Connect: half of an object", b"{"),
    ("Connect: a list", b"[]"),
    ("Connect: no id", br#"{"entityType":"t","eventName":"n","expectedVersion":-1,"data":{"op":"MARK"}}"#),
    ("Connect: data that is a list", br#"{"entityId":"bad-input-bodies","entityType":"t","eventName":"n","expectedVersion":-1,"data":["MARK"]}"#),
    ("Connect: a version below -2", br#"{"entityId":"bad-input-bodies","entityType":"t","eventName":"n","expectedVersion":"-3","data":{"op":"MARK"}}"#),
    ("Connect: a version in words", br#"{"entityId":"bad-input-bodies","entityType":"t","eventName":"n","expectedVersion":"x","data":{"op":"MARK"}}"#),
    ("Connect: a lone surrogate", br#"{"entityId":"\udc00","entityType":"t","eventName":"n","expectedVersion":-1,"data":{"op":"MARK"}}"#),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_corpus_is_large_and_holds_no_string_twice() {
        let all = strings();
        assert!(all.len() >= 300, "{}", all.len());
        assert!(all.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn a_mark_takes_its_place() {
        let body = bodies().into_iter().find(|body| body.what == "an unknown field").expect("it is there");
        assert!(String::from_utf8_lossy(&body.with_mark("m-1")).contains(r#""op":"m-1""#));
    }
}

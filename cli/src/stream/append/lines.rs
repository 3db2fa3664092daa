//! Events of one append in a file, one a line.

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
};

use weir_client::v1::EventBody;
use weir_types::{NewEvent, limits};

use crate::error::CliError;

/// Reads the events of a file, or of stdin where `-` is said; empty lines are passed.
pub(super) fn read(file: &str) -> Result<Vec<NewEvent>, CliError> {
    match file {
        "-" => parse(io::stdin().lock(), "stdin"),
        file => {
            parse(BufReader::new(File::open(file).map_err(CliError::io(format!("read `{file}`")))?), file)
        }
    }
}

/// Goes no further than the first line that is not legal, or is one too many.
fn parse(lines: impl BufRead, file: &str) -> Result<Vec<NewEvent>, CliError> {
    let mut events = Vec::new();
    for (number, line) in (1..).zip(lines.split(b'\n')) {
        let line: Vec<u8> = line.map_err(CliError::io(format!("read `{file}`")))?;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let event = match events.len() < limits::APPEND_EVENTS_MAX {
            true => event_of(&line),
            false => {
                Err(format!("there are over {} events, the limit of an append", limits::APPEND_EVENTS_MAX))
            }
        };
        let bad = |reason| CliError::Usage(format!("`{file}`: line {number}: {reason}"));
        events.push(event.map_err(bad)?);
    }
    match events.is_empty() {
        true => Err(CliError::Usage(format!("`{file}` holds no event"))),
        false => Ok(events),
    }
}

fn event_of(line: &[u8]) -> Result<NewEvent, String> {
    // To serde an array would be an object whose members are not named.
    if !line.trim_ascii_start().starts_with(b"{") {
        return Err("is no JSON object".into());
    }
    let body: EventBody = serde_json::from_slice(line).map_err(|error| {
        // To serde each line is the first.
        let (text, column) = (error.to_string(), error.column());
        let place = format!(" at line 1 column {column}");
        format!("{} at column {column}", text.strip_suffix(&place).unwrap_or(&text))
    })?;
    NewEvent::try_from(body).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_an_event_of_the_rest_api() {
        let text = "{\"name\":\"a\"}\r\n\n  \n{\"name\":\"b\",\"data\":{\"n\":1.10},\"source\":\"cron\",\"tags\":[\"t\"]}";
        let events = parse(text.as_bytes(), "f").unwrap();
        let told: Vec<_> = events.iter().map(|event| (event.name.as_str(), event.data.as_ref())).collect();
        assert_eq!(told, [("a", &b"{}"[..]), ("b", &b"{\"n\":1.10}"[..])]);
        assert_eq!((events[1].source, events[1].tags.len()), (weir_types::EventSource::Cron, 1));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, reason) in [
            ("{", "line 1: EOF while parsing an object at column 1"),
            ("{\"name\":\"a\"}\n\n{\"name\":\"b\",\"datas\":1}", "line 3: unknown field `datas`"),
            ("{\"name\":\"a\"}\n{}", "line 2: event name is empty"),
            ("{\"name\":\"a\",\"source\":\"moon\"}", "line 1: source `moon`"),
            ("{\"name\":\"a\"}\n[\"a\"]\n", "line 2: is no JSON object"),
            ("{\"name\":\"a\"}\n\u{0}", "line 2: is no JSON object"),
            ("{\"name\":\"a\"} {\"name\":\"b\"}", "line 1: trailing characters at column 14"),
        ] {
            let error = parse(text.as_bytes(), "f").unwrap_err().to_string();
            assert!(error.starts_with(&format!("`f`: {reason}")), "{text}: {error}");
        }
        assert_eq!(parse(&b"\n \n"[..], "f").unwrap_err().to_string(), "`f` holds no event");
    }

    #[test]
    fn as_many_as_an_append_holds_are_read_and_not_one_more() {
        let text = "{\"name\":\"a\"}\n".repeat(limits::APPEND_EVENTS_MAX);
        assert_eq!(parse(text.as_bytes(), "f").unwrap().len(), limits::APPEND_EVENTS_MAX);
        let error = parse(format!("{text}\n{{\"name\":\"a\"}}").as_bytes(), "f").unwrap_err().to_string();
        assert_eq!(error, "`f`: line 1002: there are over 1000 events, the limit of an append");
    }
}

use jiff::{Timestamp as Instant, civil::DateTime, fmt::strtime, tz::TimeZone};
use weir_types::Timestamp;

use crate::error::CliError;

/// How the times of a file are written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct TimeFormat {
    /// `None` is auto.
    pattern: Option<String>,
    zone: TimeZone,
}

/// Unix times from here on are milliseconds; in seconds it is the year 5138.
const MILLIS_FROM: u64 = 100_000_000_000;

impl TimeFormat {
    pub(super) fn new(format: &str, zone: &str) -> Result<Self, CliError> {
        let known = if zone == "UTC" { Ok(TimeZone::UTC) } else { TimeZone::get(zone) };
        let zone = known.map_err(|_| CliError::Usage(format!("time zone `{zone}` is not known")))?;
        Ok(Self { pattern: (format != "auto").then(|| format.to_owned()), zone })
    }

    /// The time that a cell says; a time without an offset is in the file's zone.
    pub(super) fn parse(&self, text: &str) -> Result<Timestamp, String> {
        let text = text.trim();
        let time = match &self.pattern {
            Some(pattern) => self.by_pattern(pattern, text),
            None => self.automatic(text),
        };
        let time = time.ok_or_else(|| match &self.pattern {
            Some(pattern) => format!("time `{text}` is not of the form {pattern}"),
            None => format!("time `{text}` is not understood; give --occurred-at-format"),
        })?;
        Ok(Timestamp(time.as_microsecond()))
    }

    /// ISO 8601 with a `T` or a space, with or without an offset, or Unix time
    /// in seconds or milliseconds. Never a guess between day and month.
    fn automatic(&self, text: &str) -> Option<Instant> {
        if let Ok(number) = text.parse::<i64>() {
            return match number.unsigned_abs() < MILLIS_FROM {
                true => Instant::from_second(number).ok(),
                false => Instant::from_millisecond(number).ok(),
            };
        }
        text.parse::<Instant>().ok().or_else(|| self.local(text.parse().ok()?))
    }

    fn by_pattern(&self, pattern: &str, text: &str) -> Option<Instant> {
        let broken = strtime::parse(pattern, text).ok()?;
        broken.to_timestamp().ok().or_else(|| self.local(broken.to_datetime().ok()?))
    }

    fn local(&self, time: DateTime) -> Option<Instant> {
        time.to_zoned(self.zone.clone()).ok().map(|zoned| zoned.timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_understood_or_refused_but_never_guessed() {
        for (format, zone, text, micros) in [
            ("auto", "UTC", "2011-10-11 13:45:40.276000+02:00", Some(1_318_333_540_276_000)),
            ("auto", "UTC", "2011-10-11T11:45:40.276Z", Some(1_318_333_540_276_000)),
            ("auto", "UTC", "2011-10-11 11:45:40", Some(1_318_333_540_000_000)),
            ("auto", "UTC", " 2011-10-11T11:45:40 ", Some(1_318_333_540_000_000)),
            ("auto", "UTC", "2011-10-11", Some(1_318_291_200_000_000)),
            ("auto", "UTC", "1318333540", Some(1_318_333_540_000_000)),
            ("auto", "UTC", "1318333540276", Some(1_318_333_540_276_000)),
            ("auto", "UTC", "11.10.2011 11:45", None),
            ("auto", "UTC", "10/11/2011", None),
            ("auto", "UTC", "", None),
            ("auto", "UTC", "-9223372036854775808", None),
            ("auto", "UTC", "2011-02-30 00:00:00", None),
            ("%d.%m.%Y %H:%M:%S", "UTC", "11.10.2011 11:45:40", Some(1_318_333_540_000_000)),
            ("%d.%m.%Y %H:%M:%S %z", "UTC", "11.10.2011 13:45:40 +0200", Some(1_318_333_540_000_000)),
            ("%d.%m.%Y %H:%M:%S", "UTC", "2011-10-11", None),
        ] {
            let time = TimeFormat::new(format, zone).unwrap().parse(text).ok().map(|time| time.0);
            assert_eq!(time, micros, "{format} {zone} `{text}`");
        }
        assert!(TimeFormat::new("auto", "Mars/North").is_err());
    }

    #[test]
    fn a_zone_applies_to_times_without_an_offset() {
        let Ok(format) = TimeFormat::new("auto", "Europe/Berlin") else {
            return; // The machine has no time zone database.
        };
        assert_eq!(format.parse("2011-10-11 13:45:40").unwrap().0, 1_318_333_540_000_000);
        assert_eq!(format.parse("2011-10-11T11:45:40Z").unwrap().0, 1_318_333_540_000_000);
    }
}

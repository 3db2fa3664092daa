use jiff::fmt::temporal::DateTimePrinter;
use weir_types::Timestamp;

use crate::ApiError;

/// A time as RFC 3339 in UTC with six digits of a second. What lies outside
/// the years −9999 to 9999 is given as the nearest time inside.
#[must_use]
pub fn format_timestamp(time: Timestamp) -> String {
    const PRINTER: DateTimePrinter = DateTimePrinter::new().precision(Some(6));
    let nearest = if time.0 < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
    let time = instant(time.0).unwrap_or(nearest);
    let mut text = String::with_capacity(27);
    PRINTER.print_timestamp(&time, &mut text).expect("writing to a string cannot fail");
    text
}

/// jiff's own microseconds end a second before its last instant.
fn instant(microseconds: i64) -> Result<jiff::Timestamp, jiff::Error> {
    let below = microseconds.rem_euclid(1_000_000);
    let nanoseconds = i32::try_from(below * 1_000).expect("they are below a second");
    jiff::Timestamp::new(microseconds.div_euclid(1_000_000), nanoseconds)
}

/// What a client may say: RFC 3339 begins with the year 0, and this library ends with the last instant that is in
/// the year 9999 at every offset.
const TAKEN: std::ops::RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_207_200_999_999;

/// Reads a time of RFC 3339, with any offset; digits below a microsecond are dropped.
///
/// # Errors
/// [`crate::ErrorCode::InvalidRequest`] when the text is not such a time, or one outside of
/// 0000-01-01T00:00:00Z to 9999-12-30T22:00:00.999999Z.
pub fn parse_timestamp(text: &str) -> Result<Timestamp, ApiError> {
    let time: jiff::Timestamp = text.parse().map_err(|error| {
        let last = format_timestamp(Timestamp(*TAKEN.end()));
        ApiError::invalid(format!("time `{text}` is not of RFC 3339, or after {last}: {error}"))
    })?;
    checked_timestamp(time.as_microsecond())
}

/// Checks that a time can be written down as RFC 3339.
///
/// # Errors
/// [`crate::ErrorCode::InvalidRequest`] outside of the years 0 to 9999.
pub(crate) fn checked_timestamp(microseconds: i64) -> Result<Timestamp, ApiError> {
    if TAKEN.contains(&microseconds) {
        return Ok(Timestamp(microseconds));
    }
    let text = format_timestamp(Timestamp(microseconds));
    Err(ApiError::invalid(format!("time {text} ({microseconds} µs) is outside the years 0 to 9999")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_and_write() {
        for (text, micros, written) in [
            ("1970-01-01T00:00:00Z", 0, "1970-01-01T00:00:00.000000Z"),
            ("2011-10-11T13:45:40.276+02:00", 1_318_333_540_276_000, "2011-10-11T11:45:40.276000Z"),
            ("2011-10-11 13:45:40.276000+02:00", 1_318_333_540_276_000, "2011-10-11T11:45:40.276000Z"),
            ("1969-12-31T23:59:59.999999Z", -1, "1969-12-31T23:59:59.999999Z"),
            ("0000-01-01T00:00:00Z", *TAKEN.start(), "0000-01-01T00:00:00.000000Z"),
            ("9999-12-30T22:00:00.999999Z", *TAKEN.end(), "9999-12-30T22:00:00.999999Z"),
        ] {
            let time = parse_timestamp(text).unwrap();
            assert_eq!((time.0, format_timestamp(time).as_str()), (micros, written));
        }
        for bad in [
            "",
            "yesterday",
            "2011-10-11",
            "2011-10-11T13:45:40",
            "2011-13-11T13:45:40Z",
            "-000001-12-31T23:59:59Z",
        ] {
            assert!(parse_timestamp(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_out_of_reach_are_refused_and_never_panic() {
        assert!(checked_timestamp(i64::MAX).is_err() && checked_timestamp(TAKEN.start() - 1).is_err());
        let last = parse_timestamp("9999-12-31T23:59:59Z").unwrap_err();
        assert!(last.message.contains("after 9999-12-30T22:00:00.999999Z"), "{last:?}");
        assert!(format_timestamp(Timestamp(i64::MAX)).starts_with("9999-12-30T"));
        assert!(format_timestamp(Timestamp(i64::MIN)).starts_with("-009999-01-0"));
    }
}

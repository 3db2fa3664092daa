//! Where an event came from, as text.

use weir_types::{ContentType, EventSource, limits};

use crate::{ApiError, ErrorCode};

/// The word for a source.
pub(crate) const fn source_text(source: EventSource) -> &'static str {
    match source {
        EventSource::Api => "api",
        EventSource::Cron => "cron",
        EventSource::Webhook => "webhook",
        EventSource::Import => "import",
    }
}

/// Of a word that is refused, so much is said again.
const SAID_CHARS_MAX: usize = 64;

/// The source that a word means; the empty word is the API.
pub(crate) fn parse_source(text: &str) -> Result<EventSource, ApiError> {
    match text {
        "" | "api" => Ok(EventSource::Api),
        "cron" => Ok(EventSource::Cron),
        "webhook" => Ok(EventSource::Webhook),
        "import" => Ok(EventSource::Import),
        other => {
            let other: String = other.chars().take(SAID_CHARS_MAX).collect();
            Err(ApiError::invalid(format!("source `{other}` is not api, cron, webhook or import")))
        }
    }
}

/// The content type that a media type means; the empty one is JSON.
pub(crate) fn parse_content_type(text: &str) -> Result<ContentType, ApiError> {
    let (essence, _) = text.split_once(';').unwrap_or((text, ""));
    if text.is_empty() || essence.trim().eq_ignore_ascii_case("application/json") {
        return Ok(ContentType::Json);
    }
    if text.len() > limits::CONTENT_TYPE_BYTES_MAX {
        let max = limits::CONTENT_TYPE_BYTES_MAX;
        let message = format!("content type has {} bytes, over the limit of {max}", text.len());
        return Err(ApiError::new(ErrorCode::TooLarge, message).with("max", max));
    }
    if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        return Err(ApiError::invalid("content type holds a character that is not printable ASCII"));
    }
    Ok(ContentType::Other(text.into()))
}

//! The requests by which events are sent to servers outside.

use std::{sync::Arc, time::Duration};

use http::{Request, Uri};
use tokio::time::timeout;
use weir_types::ProjectionName;

use crate::http_client::HttpClient;

/// How long an answer to one event may take.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Sends events.
pub(super) struct Hooks(pub(super) Arc<dyn HttpClient>);

/// One event that is sent.
pub(super) struct Posted<'a> {
    pub(super) name: &'a ProjectionName,
    pub(super) event_id: &'a str,
    pub(super) delivery: u32,
    /// Seconds since 1970, which are signed with the body.
    pub(super) timestamp: &'a str,
    pub(super) body: Vec<u8>,
}

impl Hooks {
    /// Sends one event. The reason why it was not taken: any answer but one of success, as one of another place is.
    pub(super) async fn post(
        &self,
        url: &str,
        secret: Option<&str>,
        posted: Posted<'_>,
    ) -> Result<(), String> {
        let request = request(url, secret, posted).map_err(|error| error.to_string())?;
        let late = |_| format!("no answer within {} s", ANSWER_WAIT.as_secs());
        let status = timeout(ANSWER_WAIT, self.0.send(request)).await.map_err(late)??;
        if status.is_success() { Ok(()) } else { Err(format!("answer is {status}")) }
    }
}

/// Where a webhook may be.
///
/// # Errors
/// Saying what its URL is not.
pub(super) fn check(url: &str) -> Result<(), &'static str> {
    let parsed = url.parse::<Uri>().map_err(|_| "url of the webhook is none")?;
    let (scheme, authority) = (parsed.scheme_str(), parsed.authority().map(|authority| authority.as_str()));
    match (scheme, authority) {
        (Some("http" | "https"), Some(authority)) if authority.contains('@') => {
            Err("url of the webhook names a user; what is sent is signed with the secret")
        }
        (Some("http" | "https"), Some(_)) => Ok(()),
        _ => Err("url of the webhook is not one of `http://` or `https://`"),
    }
}

fn request(url: &str, secret: Option<&str>, posted: Posted<'_>) -> Result<Request<Vec<u8>>, http::Error> {
    let Posted { name, event_id, delivery, timestamp, body } = posted;
    let mut request = Request::post(url)
        .header("content-type", "application/json")
        .header("idempotency-key", event_id)
        .header("x-weir-event-id", event_id)
        .header("x-weir-projection", name.as_str())
        .header("x-weir-delivery", delivery)
        .header("x-weir-timestamp", timestamp);
    if let Some(secret) = secret {
        request = request.header("x-weir-signature", signature(secret, timestamp, &body));
    }
    request.body(body)
}

/// HMAC-SHA256 of the time, a dot and the body.
fn signature(secret: &str, timestamp: &str, body: &[u8]) -> String {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = ring::hmac::Context::with_key(&key);
    context.update(timestamp.as_bytes());
    context.update(b".");
    context.update(body);
    let hex = context.sign().as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!("v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_time_and_body() {
        // Made with `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret`.
        let expected = "v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686";
        assert_eq!(signature("secret", "1700000000", br#"{"a":1}"#), expected);
        assert_ne!(signature("secret", "1700000001", br#"{"a":1}"#), expected);
        assert_ne!(signature("other", "1700000000", br#"{"a":1}"#), expected);
    }

    #[test]
    fn a_webhook_is_at_a_host_over_http_or_tls_and_names_no_user() {
        for url in ["http://mail:8080/in", "https://mail.example/in?a=b", "http://127.0.0.1:1"] {
            assert_eq!(check(url), Ok(()), "{url}");
        }
        for url in ["file:///etc", "h", "", "/in", "ftp://h/", "https://user:secret@h/", "http:// h"] {
            assert!(check(url).is_err(), "{url}");
        }
    }
}

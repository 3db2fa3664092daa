//! What a registration becomes. Pure.

use weir_actors::workers::Window;
use weir_api::{
    ApiError, ErrorCode,
    connect::{RegisterProjectionRequest, SubjectBody, WebhookBody},
};
use weir_types::{EventPattern, Position, Timestamp, is_literal_subject, limits};

use super::{
    stored::{Mode, OnFailure, Registration, Sink},
    webhook,
};

/// The generation that a change leaves behind, if one.
pub(super) fn abandoned(old: Option<&Registration>, new: &Registration) -> Option<u64> {
    old.and_then(|old| old.building).filter(|building| new.building != Some(*building))
}

/// The registration that is asked for, over the one that is there. What is not said stays.
pub(super) fn wanted(
    asked: &RegisterProjectionRequest,
    old: Option<&Registration>,
    fresh: u64,
    now: Timestamp,
) -> Result<Registration, ApiError> {
    let illegal = |message: String| Err(ApiError::new(ErrorCode::ProjectionInvalid, message));
    let base = old.cloned().unwrap_or_else(|| Registration::new(asked.name.clone(), fresh, now.0));
    let mode = match asked.mode.as_str() {
        "" | "managed" => Mode::Managed,
        "external" => Mode::External,
        other => return illegal(format!("mode `{other}` is not `managed` or `external`")),
    };
    let on_failure = match asked.on_failure.as_str() {
        "" => base.on_failure,
        "park" => OnFailure::Park,
        "dead_letter" => OnFailure::DeadLetter,
        other => return illegal(format!("onFailure `{other}` is not `park` or `dead_letter`")),
    };
    let (least, most) = (limits::WORKER_LEASE_MS_MIN, limits::WORKER_LEASE_MS_MAX);
    let lease_ms = asked.lease_ms.unwrap_or(base.lease_ms);
    if !(least..=most).contains(&lease_ms) {
        return illegal(format!("leaseMs is not within {least} and {most}"));
    }
    let deliveries_max = asked.deliveries_max.unwrap_or(base.deliveries_max);
    if !(1..=limits::WORKER_DELIVERIES_MAX).contains(&deliveries_max) {
        return illegal(format!("deliveriesMax is not within 1 and {}", limits::WORKER_DELIVERIES_MAX));
    }
    if asked.events.is_empty() || asked.events.len() > limits::PROJECTION_PATTERNS_MAX {
        return illegal(format!(
            "projection has not 1 to {} event patterns",
            limits::PROJECTION_PATTERNS_MAX
        ));
    }
    let patterns = asked.events.iter().map(|text| EventPattern::new(text)).collect::<Result<Vec<_>, _>>()?;
    let partition_key = Some(asked.partition_key.clone()).filter(|path| !path.is_empty());
    if let Err(error) = Window::new(patterns, partition_key.as_deref(), Position::ZERO) {
        return illegal(error.to_string());
    }
    if old.is_some_and(|old| old.mode != mode) {
        return illegal("mode of a projection does not change: remove it first".into());
    }
    let sink = match (&asked.webhook, &asked.nats) {
        (None, None) => base.sink.clone(),
        (Some(webhook), None) => Some(webhook_of(webhook)?),
        (None, Some(nats)) => Some(subject_of(nats)?),
        (Some(_), Some(_)) => return illegal("events go to a webhook or to NATS, not to both".into()),
    };
    if sink.is_some() && mode == Mode::Managed {
        return illegal("what the cluster sends has no state: mode is not `external`".into());
    }
    let folds_others = base.events != asked.events || base.partition_key != partition_key;
    // What has had its effect is not to have it again.
    let building = match old {
        Some(_) if folds_others && mode == Mode::Managed => Some(fresh),
        _ => base.building,
    };
    let wanted = Registration {
        form: sink.as_ref().map_or(base.form, Sink::form),
        events: asked.events.clone(),
        partition_key,
        mode,
        lease_ms,
        deliveries_max,
        on_failure,
        sink,
        building,
        ..base.clone()
    };
    let changed = old.is_some_and(|old| *old != wanted);
    Ok(if changed { Registration { updated_at: now.0, ..wanted } } else { wanted })
}

/// Where a webhook is.
fn webhook_of(webhook: &WebhookBody) -> Result<Sink, ApiError> {
    let illegal = |message: &str| Err(ApiError::new(ErrorCode::ProjectionInvalid, message));
    if let Err(reason) = webhook::check(&webhook.url) {
        return illegal(reason);
    }
    if webhook.url.len() > limits::WEBHOOK_URL_BYTES_MAX
        || webhook.secret.len() > limits::WEBHOOK_SECRET_BYTES_MAX
    {
        return illegal("url or secret of the webhook is too long");
    }
    let secret = Some(webhook.secret.clone()).filter(|secret| !secret.is_empty());
    Ok(Sink::Webhook { url: webhook.url.clone(), secret })
}

/// Which subject. Whether a stream has it, each publish shows.
fn subject_of(nats: &SubjectBody) -> Result<Sink, ApiError> {
    match is_literal_subject(&nats.subject) {
        true => Ok(Sink::Nats { subject: nats.subject.clone() }),
        false => {
            let message = "subject is not 1 to 255 bytes of tokens without wildcards, or is of NATS itself";
            Err(ApiError::new(ErrorCode::ProjectionInvalid, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_says_what_is_to_be_folded_and_another_fold_begins_anew() {
        let asked = |json: &str| serde_json::from_str::<RegisterProjectionRequest>(json).unwrap();
        let made = wanted(&asked(r#"{"name":"p","events":["a.*"]}"#), None, 7, Timestamp(1)).unwrap();
        assert_eq!((made.generation, made.building, made.mode), (7, None, Mode::Managed));
        let over = |json: &str| wanted(&asked(json), Some(&made), 9, Timestamp(2));
        assert_eq!(over(r#"{"name":"p","events":["a.*"]}"#).unwrap(), made);
        let slower = over(r#"{"name":"p","events":["a.*"],"leaseMs":60000}"#).unwrap();
        assert_eq!((slower.lease_ms, slower.building, slower.updated_at), (60_000, None, 2));
        for other in
            [r#"{"name":"p","events":["b"]}"#, r#"{"name":"p","events":["a.*"],"partitionKey":"$.data.x"}"#]
        {
            assert_eq!(over(other).unwrap().building, Some(9), "{other}");
        }
        let sent = |url: &str| {
            let json =
                format!(r#"{{"name":"p","events":["a"],"mode":"external","webhook":{{"url":"{url}"}}}}"#);
            wanted(&asked(&json), None, 7, Timestamp(1))
        };
        assert!(sent("http://mail:8080/in").unwrap().sink.is_some());
        for url in ["file:///etc", "h", ""] {
            assert!(sent(url).is_err(), "{url}");
        }
        for bad in [
            r#"{"name":"p","events":[]}"#,
            r#"{"name":"p","events":["a*b"]}"#,
            r#"{"name":"p","events":["a"],"mode":"x"}"#,
            r#"{"name":"p","events":["a"],"mode":"external"}"#,
            r#"{"name":"p","events":["a"],"partitionKey":"$..x"}"#,
            r#"{"name":"p","events":["a"],"leaseMs":1}"#,
            r#"{"name":"p","events":["a"],"deliveriesMax":0}"#,
            r#"{"name":"p","events":["a"],"onFailure":"forget"}"#,
            r#"{"name":"p","events":["a.*"],"webhook":{"url":"http://h/"}}"#,
        ] {
            assert!(over(bad).is_err(), "{bad}");
        }
    }
}

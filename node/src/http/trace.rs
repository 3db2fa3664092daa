//! The trace context that a request's headers name.

use axum::http::{HeaderMap, HeaderName};
use weir_api::give_trace;
use weir_types::{AppendRequest, TraceContext, TransactionRequest, limits};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Takes a call's context into the metadata of an append's events.
pub(crate) fn trace_append(context: Option<&TraceContext>, request: &mut AppendRequest) {
    let room = limits::APPEND_BYTES_MAX.saturating_sub(request.weight());
    if let Some(context) = context {
        give_trace(context, &mut request.events, room);
    }
}

/// As [`trace_append`], of a transaction.
pub(super) fn trace_transaction(context: Option<&TraceContext>, request: &mut TransactionRequest) {
    let room = limits::APPEND_BYTES_MAX.saturating_sub(request.weight());
    if let Some(context) = context {
        give_trace(context, request.appends.iter_mut().flat_map(|append| &mut append.events), room);
    }
}

/// One `traceparent` that is legal; several say nothing.
pub(crate) fn context_of(headers: &HeaderMap) -> Option<TraceContext> {
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let (parent, None) = (parents.next()?, parents.next()) else { return None };
    // One that is not ASCII takes all of it with it.
    let state: Option<Vec<&str>> =
        headers.get_all(TRACESTATE).iter().map(|value| value.to_str().ok()).collect();
    TraceContext::read(parent.to_str().ok()?, state.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn one_legal_header_names_a_trace() {
        let mut headers = HeaderMap::new();
        assert_eq!(context_of(&headers), None);
        headers.append(TRACEPARENT, HeaderValue::from_static(PARENT));
        headers.append(TRACESTATE, HeaderValue::from_static("a=1"));
        headers.append(TRACESTATE, HeaderValue::from_static("b=2"));
        assert_eq!(context_of(&headers), TraceContext::read(PARENT, ["a=1,b=2"]));
        headers.append(TRACESTATE, HeaderValue::from_bytes(b"c=\xff").unwrap());
        assert_eq!(context_of(&headers), TraceContext::read(PARENT, []));
        headers.append(TRACEPARENT, HeaderValue::from_static(PARENT));
        assert_eq!(context_of(&headers), None);
    }
}

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use buffa::Message as _;
use connectrpc::{ConnectError, ErrorDetail};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::ErrorCode;
use crate::proto::v1;

/// An error as every edge of Weir answers it.
#[derive(Debug, Clone, PartialEq)]
pub struct ApiError {
    /// What programs match.
    pub code: ErrorCode,
    /// What people read; it may change.
    pub message: String,
    /// What programs need beside the code, by camelCase names.
    pub details: Map<String, Value>,
}

impl ApiError {
    /// An error without details.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Map::new() }
    }

    /// [`ErrorCode::InvalidRequest`] with this message.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidRequest, message)
    }

    /// The stream has no events; the message is part of the contract.
    #[must_use]
    pub fn stream_not_found() -> Self {
        Self::new(ErrorCode::StreamNotFound, "stream not found")
    }

    /// The same error with one more detail.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.into(), value.into());
        self
    }

    /// The HTTP status of a REST answer.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.code.status()
    }

    /// The REST body.
    #[must_use]
    pub fn body(&self) -> ErrorBody {
        ErrorBody {
            error: self.message.clone(),
            message: self.message.clone(),
            code: self.code.as_str().into(),
            details: self.details.clone(),
        }
    }

    /// The error as Connect and gRPC carry it: their code, our message, and a
    /// detail `weir.v1.ErrorDetail` with our code and details. Its
    /// `http_status()` and `to_json()` are the answer to a Connect call.
    #[must_use]
    pub fn to_connect(&self) -> ConnectError {
        let details_json = Value::Object(self.details.clone()).to_string();
        let message = v1::ErrorDetail { code: self.code.as_str().into(), details_json, ..Default::default() };
        let mut detail = ErrorDetail::from_message("weir.v1.ErrorDetail", &message);
        detail.debug = Some(serde_json::json!({ "code": self.code.as_str(), "details": self.details }));
        ConnectError::new(self.code.connect_code(), self.message.clone()).with_detail(detail)
    }

    /// The error that a Connect or gRPC error of ours carries; `None` for one that is not from Weir's own services.
    #[must_use]
    pub fn from_connect(error: &ConnectError) -> Option<Self> {
        let of_ours = |detail: &&ErrorDetail| detail.type_url.ends_with("weir.v1.ErrorDetail");
        let value = error.details.iter().find(of_ours)?.value.as_deref()?;
        let detail = STANDARD_NO_PAD.decode(value.trim_end_matches('=')).ok()?;
        let detail = v1::ErrorDetail::decode_from_slice(&detail).ok()?;
        let message = error.message.clone().unwrap_or_default();
        let details = serde_json::from_str(&detail.details_json).unwrap_or_default();
        Some(Self { details, ..Self::new(detail.code.parse().ok()?, message) })
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.message)
    }
}

impl std::error::Error for ApiError {}

/// The JSON body of a REST error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// The message, where some clients look for it.
    #[serde(default)]
    pub error: String,
    /// The message.
    #[serde(default)]
    pub message: String,
    /// The code, see [`ErrorCode`].
    #[serde(default)]
    #[schemars(schema_with = "crate::openapi::codes")]
    pub code: String,
    /// Details by camelCase names.
    #[serde(default)]
    pub details: Map<String, Value>,
}

impl ErrorBody {
    /// The error that a server of any version meant: a code that this version
    /// does not know is judged by the HTTP status.
    #[must_use]
    pub fn into_error(self, status: u16) -> ApiError {
        let code = self.code.parse().unwrap_or_else(|_| code_of_status(status));
        let message = if self.message.is_empty() { self.error } else { self.message };
        ApiError { code, message, details: self.details }
    }
}

/// The nearest code to an HTTP status that came without one.
fn code_of_status(status: u16) -> ErrorCode {
    match status {
        404 => ErrorCode::NotFound,
        405 => ErrorCode::MethodNotAllowed,
        409 => ErrorCode::MembershipConflict,
        413 => ErrorCode::TooLarge,
        415 => ErrorCode::UnsupportedMediaType,
        422 => ErrorCode::EventInvalid,
        429 => ErrorCode::Overloaded,
        501 => ErrorCode::Unimplemented,
        502 | 504 => ErrorCode::OutcomeUnknown,
        503 => ErrorCode::Unavailable,
        400..=499 => ErrorCode::InvalidRequest,
        _ => ErrorCode::Internal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_body_says_it_in_every_field_that_clients_read() {
        let error = ApiError::stream_not_found();
        assert_eq!(
            serde_json::to_string(&error.body()).unwrap(),
            r#"{"error":"stream not found","message":"stream not found","code":"stream_not_found","details":{}}"#
        );
        assert_eq!(error.body().into_error(404), error);
    }

    #[test]
    fn a_connect_body_has_the_connect_code_and_ours_in_the_details() {
        let error = ApiError::new(ErrorCode::VersionConflict, "version conflict").with("actualVersion", 3);
        let connect = error.to_connect();
        assert_eq!(connect.http_status().as_u16(), 409);
        let body: Value = serde_json::from_slice(&connect.to_json()).unwrap();
        assert_eq!(body["code"], "aborted");
        assert_eq!(body["message"], "version conflict");
        assert_eq!(body["details"][0]["type"], "weir.v1.ErrorDetail");
        assert!(body["details"][0]["value"].is_string());
        assert_eq!(body["details"][0]["debug"]["code"], "version_conflict");
        assert_eq!(body["details"][0]["debug"]["details"]["actualVersion"], 3);
        assert_eq!(ApiError::from_connect(&connect), Some(error));
        assert_eq!(ApiError::from_connect(&ConnectError::unavailable("a proxy's")), None);
    }

    #[test]
    fn an_error_without_our_body_is_judged_by_its_status() {
        let body: ErrorBody = serde_json::from_str("{}").unwrap();
        assert_eq!(body.clone().into_error(503).code, ErrorCode::Unavailable);
        assert_eq!(body.clone().into_error(504).code, ErrorCode::OutcomeUnknown);
        assert_eq!(body.into_error(418).code, ErrorCode::InvalidRequest);
    }
}

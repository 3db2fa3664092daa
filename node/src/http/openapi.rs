//! The OpenAPI document.

use std::sync::LazyLock;

use axum::{
    http::header::CONTENT_TYPE,
    response::{IntoResponse, Response},
};
use bytes::Bytes;

use crate::build_info;

static DOCUMENT: LazyLock<Bytes> =
    LazyLock::new(|| weir_api::openapi::document(build_info::VERSION).to_string().into());

pub(super) async fn document() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT.clone()).into_response()
}

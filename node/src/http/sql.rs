//! Questions in SQL.

use std::sync::Arc;

use axum::{Json, extract::State};
use weir_api::v1::{SqlBody, SqlResult};

use super::{error::HttpError, extract::Body};
use crate::engine::Engine;

pub(super) async fn query(
    State(engine): State<Arc<Engine>>,
    Body(body): Body<SqlBody>,
) -> Result<Json<SqlResult>, HttpError> {
    Ok(Json(engine.sql(&body.to_question()?).await?))
}

//! Projections as they were.

use std::sync::Arc;

use axum::{Json, extract::State, http::StatusCode};
use weir_api::v1::{PastFold, PastPage, PastPageQuery, PastQuery, PastStatus, PastView};
use weir_types::ProjectionName;

use super::{
    error::HttpError,
    extract::{Params, Search},
};
use crate::engine::Engine;

pub(super) async fn view(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Search(query): Search<PastQuery>,
) -> Result<(StatusCode, Json<PastView>), HttpError> {
    let ((moment, patience), partition) = (query.to_moment()?, query.to_partition()?);
    let view = engine.past_view(&ProjectionName::new(name)?, &partition, moment, patience).await?;
    Ok((status(&view.fold), Json(view)))
}

pub(super) async fn page(
    State(engine): State<Arc<Engine>>,
    Params(name): Params<String>,
    Search(query): Search<PastPageQuery>,
) -> Result<(StatusCode, Json<PastPage>), HttpError> {
    let ((moment, patience), page) = (query.to_moment()?, query.to_page()?);
    let page = engine.past_page(&ProjectionName::new(name)?, page, moment, patience).await?;
    Ok((status(&page.fold), Json(page)))
}

/// One that folds still is accepted, and may be asked for again.
fn status(fold: &PastFold) -> StatusCode {
    match fold.status {
        PastStatus::Folding => StatusCode::ACCEPTED,
        PastStatus::Ready => StatusCode::OK,
    }
}

//! Key-value buckets over REST.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, StatusCode, header},
    response::{IntoResponse as _, Response},
};
use weir_api::{
    ApiError, ErrorCode,
    v1::{
        BucketBody, BucketList, BucketView, KvDeleteQuery, KvEntryView, KvHistory, KvKeysPage, KvKeysQuery,
        KvPutQuery, KvPutResult, KvReadQuery,
    },
};
use weir_types::{BucketName, KvCommand, KvGuard, KvKey, KvOutcome, Revision};

use super::{
    error::HttpError,
    extract::{Body, Params, Search, read_body},
};
use crate::{consumers::is_reserved, engine::Engine};

pub(super) async fn create(
    State(engine): State<Arc<Engine>>,
    Body(body): Body<BucketBody>,
) -> Result<(StatusCode, Json<BucketView>), HttpError> {
    let config = body.into_config()?;
    open_name(config.name.as_str())?;
    match decided(&engine, KvCommand::CreateBucket(config)).await? {
        KvOutcome::BucketCreated(info) => Ok((StatusCode::CREATED, Json(BucketView::from(&info)))),
        other => Err(odd(&other)),
    }
}

pub(super) async fn list(
    State(engine): State<Arc<Engine>>,
    Search(query): Search<KvReadQuery>,
) -> Result<Json<BucketList>, HttpError> {
    let buckets = engine.kv_buckets(query.to_consistency()?).await?;
    let open = buckets.iter().filter(|bucket| !is_reserved(&bucket.config.name));
    let buckets: Vec<BucketView> = open.map(BucketView::from).collect();
    Ok(Json(BucketList { count: buckets.len(), buckets }))
}

pub(super) async fn info(
    State(engine): State<Arc<Engine>>,
    Params(bucket): Params<String>,
    Search(query): Search<KvReadQuery>,
) -> Result<Json<BucketView>, HttpError> {
    let info = engine.kv_bucket(&open_name(&bucket)?, query.to_consistency()?).await?;
    Ok(Json(BucketView::from(&info)))
}

pub(super) async fn remove(
    State(engine): State<Arc<Engine>>,
    Params(bucket): Params<String>,
) -> Result<StatusCode, HttpError> {
    match decided(&engine, KvCommand::DeleteBucket(open_name(&bucket)?)).await? {
        KvOutcome::BucketDeleted => Ok(StatusCode::NO_CONTENT),
        other => Err(odd(&other)),
    }
}

pub(super) async fn keys(
    State(engine): State<Arc<Engine>>,
    Params(bucket): Params<String>,
    Search(query): Search<KvKeysQuery>,
) -> Result<Json<KvKeysPage>, HttpError> {
    let bucket = open_name(&bucket)?;
    let page = engine.kv_keys(&bucket, query.to_page()?, query.to_consistency()?).await?;
    Ok(Json(page.into()))
}

pub(super) async fn get(
    State(engine): State<Arc<Engine>>,
    Params((bucket, key)): Params<(String, String)>,
    Search(query): Search<KvReadQuery>,
) -> Result<Response, HttpError> {
    let (bucket, key) = (open_name(&bucket)?, KvKey::new(key)?);
    let consistency = query.to_consistency()?;
    if query.history {
        let versions = engine.kv_history(&bucket, &key, query.to_history()?, consistency).await?;
        return Ok(Json(KvHistory::new(&key, &versions)).into_response());
    }
    let entry = engine.kv_get(&bucket, &key, query.to_read(), consistency).await?;
    Ok(Json(KvEntryView::from(&entry)).into_response())
}

pub(super) async fn put(
    State(engine): State<Arc<Engine>>,
    Params((bucket, key)): Params<(String, String)>,
    Search(query): Search<KvPutQuery>,
    headers: HeaderMap,
    request: Request,
) -> Result<Json<KvPutResult>, HttpError> {
    let (bucket, key) = (open_name(&bucket)?, KvKey::new(key)?);
    let guard = guard_of(&headers)?;
    let value = read_body(request).await?;
    let ttl = query.ttl_ms.map(Duration::from_millis);
    match decided(&engine, KvCommand::Put { bucket, key, value, guard, ttl }).await? {
        KvOutcome::Put { revision, at, expires_at } => Ok(Json(KvPutResult::new(revision, at, expires_at))),
        other => Err(odd(&other)),
    }
}

pub(super) async fn delete(
    State(engine): State<Arc<Engine>>,
    Params((bucket, key)): Params<(String, String)>,
    Search(query): Search<KvDeleteQuery>,
    headers: HeaderMap,
) -> Result<Response, HttpError> {
    let (bucket, key) = (open_name(&bucket)?, KvKey::new(key)?);
    let guard = guard_of(&headers)?;
    match decided(&engine, KvCommand::Delete { bucket, key, guard, purge: query.purge }).await? {
        KvOutcome::Deleted { revision } => {
            // The contract wants no body; whoever counts revisions reads the header.
            Ok((StatusCode::NO_CONTENT, [(REVISION, revision.0.to_string())]).into_response())
        }
        other => Err(odd(&other)),
    }
}

/// The name of a bucket that is not Weir's own.
pub(crate) fn open_name(bucket: &str) -> Result<BucketName, ApiError> {
    let bucket = BucketName::new(bucket)?;
    match is_reserved(&bucket) {
        true => Err(ApiError::invalid(format!("bucket `{bucket}` is not for clients"))),
        false => Ok(bucket),
    }
}

/// The revision of a deletion.
const REVISION: HeaderName = HeaderName::from_static("x-weir-revision");

async fn decided(engine: &Engine, command: KvCommand) -> Result<KvOutcome, HttpError> {
    match engine.kv(command).await? {
        KvOutcome::Refused(error) => Err(error.into()),
        outcome => Ok(outcome),
    }
}

/// An outcome of another kind than the command.
fn odd(outcome: &KvOutcome) -> HttpError {
    ApiError::new(ErrorCode::Internal, format!("command was answered with {outcome:?}")).into()
}

/// `If-None-Match: *` creates only, `If-Match: <revision>` compares and sets.
fn guard_of(headers: &HeaderMap) -> Result<KvGuard, ApiError> {
    let text = |name: &HeaderName| match headers.get(name).map(|value| value.to_str()) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text.trim().trim_matches('"').to_owned())),
        Some(Err(_)) => Err(ApiError::invalid(format!("header {name} is not visible ASCII"))),
    };
    match (text(&header::IF_NONE_MATCH)?, text(&header::IF_MATCH)?) {
        (None, None) => Ok(KvGuard::Any),
        (Some(all), None) if all == "*" => Ok(KvGuard::Absent),
        (Some(_), None) => Err(ApiError::invalid("If-None-Match takes only `*`")),
        (None, Some(any)) if any == "*" => Ok(KvGuard::Exists),
        (None, Some(revision)) => match revision.parse() {
            Ok(revision) => Ok(KvGuard::Revision(Revision(revision))),
            Err(_) => Err(ApiError::invalid("If-Match is not a revision")),
        },
        (Some(_), Some(_)) => Err(ApiError::invalid("If-Match and If-None-Match exclude each other")),
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn headers_guard_a_key() {
        let revision = |revision| KvGuard::Revision(Revision(revision));
        for (none_match, if_match, expected) in [
            (None, None, Some(KvGuard::Any)),
            (Some("*"), None, Some(KvGuard::Absent)),
            (Some("\"*\""), None, Some(KvGuard::Absent)),
            (None, Some("7"), Some(revision(7))),
            (None, Some("\"7\""), Some(revision(7))),
            (None, Some("0"), Some(revision(0))),
            (None, Some("*"), Some(KvGuard::Exists)),
            (None, Some("-1"), None),
            (None, Some(""), None),
            (Some("7"), None, None),
            (Some("*"), Some("7"), None),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in [(header::IF_NONE_MATCH, none_match), (header::IF_MATCH, if_match)] {
                if let Some(value) = value {
                    headers.insert(name, HeaderValue::from_static(value));
                }
            }
            assert_eq!(guard_of(&headers).ok(), expected, "{none_match:?} {if_match:?}");
        }
    }
}

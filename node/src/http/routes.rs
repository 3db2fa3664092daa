//! What carries each operation out. The routes are made of the table of
//! operations, so that the OpenAPI document has them all and no other.

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler,
    routing::{MethodFilter, MethodRouter, on},
};
use weir_api::openapi::{Answerer, Method, Operation};

use super::{
    cluster, consumers, health, kv, log, openapi, outbox, past, projections, rebuilds, rules, snapshots, sql,
    streams, transactions, upcasters, waits, workers,
};
use crate::{connect, engine::Engine, live};

/// The routes of the operations that are answered so.
pub(super) fn routes(answerer: Answerer) -> Router<Arc<Engine>> {
    let operations = Operation::ALL.iter().filter(|operation| operation.answerer() == answerer);
    operations.fold(Router::new(), |router, operation| match handler(*operation) {
        Some(handler) => router.route(operation.path(), handler),
        None => router,
    })
}

/// What carries an operation out; none where gRPC does.
#[expect(clippy::too_many_lines, reason = "a table, with a line for each operation")]
fn handler(operation: Operation) -> Option<MethodRouter<Arc<Engine>>> {
    use Operation as Op;
    let by = By(operation.method());
    Some(match operation {
        Op::AppendEvents => by.this(streams::append),
        Op::ReadEvents => by.this(streams::read),
        Op::GetStream => by.this(streams::info),
        Op::GetHistory => by.this(streams::history),
        Op::GetState => by.this(streams::state),
        Op::ListStreams => by.this(streams::list),
        Op::Transact => by.this(transactions::transact),
        Op::ReadLog => by.this(log::read),
        Op::CreateSnapshot => by.this(snapshots::create),
        Op::GetSnapshot => by.this(snapshots::get),
        Op::ListSnapshots => by.this(snapshots::list),
        Op::DeleteSnapshot => by.this(snapshots::delete),
        Op::ReadFromSnapshot => by.this(snapshots::read),
        Op::Subscribe => by.this(live::sse::by_pattern),
        Op::SubscribeToStream => by.this(live::sse::by_stream),
        Op::OpenSocket => by.this(live::socket::upgrade),
        Op::CreateConsumerGroup => by.this(consumers::create),
        Op::ListConsumerGroups => by.this(consumers::list),
        Op::GetConsumerGroup => by.this(consumers::show),
        Op::ChangeConsumerGroup => by.this(consumers::change),
        Op::DeleteConsumerGroup => by.this(consumers::delete),
        Op::PullEvents => by.this(consumers::pull),
        Op::SettleEvents => by.this(consumers::settle),
        Op::ListDeadLetters => by.this(consumers::dead_letters),
        Op::ReplayDeadLetters => by.this(consumers::replay),
        Op::CreateBucket => by.this(kv::create),
        Op::ListBuckets => by.this(kv::list),
        Op::GetBucket => by.this(kv::info),
        Op::DeleteBucket => by.this(kv::remove),
        Op::WatchBucket => by.this(live::buckets::watch),
        Op::ListKeys => by.this(kv::keys),
        Op::GetKey => by.this(kv::get),
        Op::PutKey => by.this(kv::put),
        Op::DeleteKey => by.this(kv::delete),
        Op::RegisterEventSchema => by.this(rules::register_schema),
        Op::ListEventSchemas => by.this(rules::list_schemas),
        Op::GetNewestEventSchema => by.this(rules::newest_schema),
        Op::GetEventSchema => by.this(rules::schema),
        Op::DeleteEventSchema => by.this(rules::delete_schema),
        Op::ListRules => by.this(rules::list),
        Op::GetNamespaceRules => by.this(rules::of_namespace),
        Op::SetNamespaceRules => by.this(rules::set_namespace),
        Op::DeleteNamespaceRules => by.this(rules::delete_namespace),
        Op::GetTypeRules => by.this(rules::of_type),
        Op::SetTypeRules => by.this(rules::set_type),
        Op::DeleteTypeRules => by.this(rules::delete_type),
        Op::ListUpcasters => by.this(upcasters::list),
        Op::GetUpcaster => by.this(upcasters::get),
        Op::SetUpcaster => by.this(upcasters::set),
        Op::DeleteUpcaster => by.this(upcasters::delete),
        Op::TestUpcasters => by.this(upcasters::test),
        Op::UpcastEvent => by.this(upcasters::upcast),
        Op::DeployProjection => by.this(projections::deploy),
        Op::ListProjections => by.this(projections::list),
        Op::GetProjection => by.this(projections::view),
        Op::DeleteProjection => by.this(projections::remove),
        Op::GetProjectionStatus => by.this(projections::status),
        Op::PauseProjection => by.this(projections::pause),
        Op::ResumeProjection => by.this(projections::resume),
        Op::RebuildProjection => by.this(rebuilds::rebuild),
        Op::GetRebuild => by.this(rebuilds::job),
        Op::CancelRebuild => by.this(rebuilds::cancel),
        Op::SwitchProjections => by.this(rebuilds::switch),
        Op::DiffProjections => by.this(rebuilds::diff),
        Op::GetProjectionDigest => by.this(rebuilds::digest),
        Op::GetPastState => by.this(past::view),
        Op::ListPastStates => by.this(past::page),
        Op::ListProjectionDeadLetters => by.this(projections::dead_letters),
        Op::QuerySql => by.this(sql::query),
        Op::ListPartitions => by.this(projections::partitions),
        Op::SubscribeToProjection => by.this(live::sse::by_projection),
        Op::WaitForProjection => by.this(waits::one),
        Op::WaitForProjections => by.this(waits::several),
        Op::WaitForEvent => by.this(waits::for_event),
        Op::RegisterProjection => by.this(workers::create),
        Op::PollProjection => by.this(workers::poll),
        Op::SaveProjection => by.this(workers::save),
        Op::ListWorkerLetters => by.this(workers::dead_letters),
        Op::ReplayWorkerLetters => by.this(workers::replay),
        Op::ReleaseProjection => by.this(workers::release),
        Op::RegisterWorker => by.this(workers::register),
        Op::HeartbeatWorker => by.this(workers::heartbeat),
        Op::GetJobs => by.this(workers::jobs),
        Op::GetCluster => by.this(cluster::status),
        Op::InitCluster => by.this(cluster::init),
        Op::AddMember => by.this(cluster::add),
        Op::RemoveMember => by.this(cluster::remove),
        Op::TransferLeadership => by.this(cluster::transfer),
        Op::GetOutbox => by.this(outbox::status),
        Op::RebuildOutbox => by.this(outbox::rebuild),
        Op::GetHealth | Op::GetLivez => by.this(health::health),
        Op::GetReady | Op::GetReadyz => by.this(health::ready),
        Op::GetMetrics => by.this(health::metrics),
        Op::GetCapabilities => by.this(health::capabilities),
        Op::GetLimits => by.this(health::limits),
        Op::GetOpenApi => by.this(openapi::document),
        Op::CallEntityStreams => by.this(connect::call),
        Op::CallProjections => by.this(connect::projections::call),
        Op::CallSchemas => by.this(connect::schemas::call),
        Op::CallPubSub => by.this(live::pubsub::call),
        Op::CallStreams | Op::CallReads | Op::CallSubscriptions => return None,
    })
}

/// A method, for which a handler is wanted.
struct By(Method);

impl By {
    fn this<T: 'static>(&self, handler: impl Handler<T, Arc<Engine>>) -> MethodRouter<Arc<Engine>> {
        let method = match self.0 {
            Method::Get => MethodFilter::GET,
            Method::Post => MethodFilter::POST,
            Method::Put => MethodFilter::PUT,
            Method::Patch => MethodFilter::PATCH,
            Method::Delete => MethodFilter::DELETE,
        };
        on(method, handler)
    }
}

//! Every path of the HTTP server, as axum's router writes it, and as a client fills it in.

use std::fmt::Write as _;

/// POST appends, GET reads: the events of a stream.
pub const STREAM_EVENTS: &str = "/api/v1/streams/{id}/events";
/// GET: what is known of a stream.
pub const STREAM: &str = "/api/v1/streams/{id}";
/// GET: the history of a stream, as SDKs of the contract read it.
pub const STREAM_HISTORY: &str = "/api/v1/streams/{id}/history";
/// POST keeps one, GET gives the newest: snapshots of a stream.
pub const STREAM_SNAPSHOTS: &str = "/api/v1/streams/{id}/snapshots";
/// GET: the versions of which snapshots of a stream are kept.
pub const STREAM_SNAPSHOT_VERSIONS: &str = "/api/v1/streams/{id}/snapshots/versions";
/// DELETE: a snapshot of a stream.
pub const STREAM_SNAPSHOT: &str = "/api/v1/streams/{id}/snapshots/{version}";
/// GET: the newest snapshot of a stream, and the events after it.
pub const STREAM_FROM_SNAPSHOT: &str = "/api/v1/streams/{id}/from-snapshot";
/// GET: the state of a stream, through the invariant of its entity type.
pub const STREAM_STATE: &str = "/api/v1/streams/{id}/state";
/// GET: all streams.
pub const STREAMS: &str = "/api/v1/streams";
/// POST: appends to several streams, all of it or nothing.
pub const TRANSACTIONS: &str = "/api/v1/transactions";
/// POST deploys, GET lists: projections.
pub const PROJECTIONS: &str = "/api/v1/projections";
/// GET: one partition's state; DELETE: remove the projection.
pub const PROJECTION: &str = "/api/v1/projections/{name}";
/// GET: how far a projection is.
pub const PROJECTION_STATUS: &str = "/api/v1/projections/{name}/status";
/// GET: the partitions of a projection.
pub const PROJECTION_PARTITIONS: &str = "/api/v1/projections/{name}/partitions";
/// A projection folds nothing for now.
pub const PROJECTION_PAUSE: &str = "/api/v1/projections/{name}/pause";
/// A projection goes on.
pub const PROJECTION_RESUME: &str = "/api/v1/projections/{name}/resume";
/// A projection is folded again beside what answers.
pub const PROJECTION_REBUILD: &str = "/api/v1/projections/{name}/rebuild";
/// A rebuild is given up.
pub const PROJECTION_CANCEL: &str = "/api/v1/projections/{name}/cancel";
/// Two names answer each from what the other one did.
pub const PROJECTION_SWITCH: &str = "/api/v1/projections/{name}/switch";
/// Two projections at one position.
pub const PROJECTION_DIFF: &str = "/api/v1/projections/{name}/diff";
/// A projection's digest at a position.
pub const PROJECTION_DIGEST: &str = "/api/v1/projections/{name}/digest";
/// GET: one partition as it was at a position or a time.
pub const PROJECTION_PAST: &str = "/api/v1/projections/{name}/past";
/// GET: all partitions as they were.
pub const PROJECTION_PAST_PARTITIONS: &str = "/api/v1/projections/{name}/past/partitions";
/// What a projection passed without folding it.
pub const PROJECTION_DEAD_LETTERS: &str = "/api/v1/projections/{name}/dead-letters";
/// GET: the states of a projection, as they come, as server-sent events.
pub const PROJECTION_SUBSCRIBE: &str = "/api/v1/projections/{name}/subscribe";
/// GET: waits until a projection has folded a position.
pub const PROJECTION_CATCHUP: &str = "/api/v1/projections/{name}/catchup";
/// POST: waits until several projections have folded a position each.
pub const PROJECTIONS_CATCHUP: &str = "/api/v1/projections/catchup/batch";
/// POST: waits until a projection has folded an event.
pub const PROJECTIONS_WAIT_FOR_EVENT: &str = "/api/v1/projections/wait-for-event";
/// POST: make a projection that workers fold.
pub const PROJECTION_WORKER: &str = "/api/v1/projections/{name}/worker";
/// GET: events of a projection of workers that were given up.
pub const PROJECTION_LETTERS: &str = "/api/v1/projections/{name}/worker/dead-letters";
/// POST: send them again, where the cluster sends them.
pub const PROJECTION_LETTERS_REPLAY: &str = "/api/v1/projections/{name}/worker/dead-letters/replay";
/// POST: take events of a projection that workers fold.
pub const PROJECTION_POLL: &str = "/api/v1/projections/{name}/poll";
/// POST: save the state of a partition, or say that its events had their effect.
pub const PROJECTION_SAVE: &str = "/api/v1/projections/{name}/save";
/// DELETE: give the lease of a projection up.
pub const PROJECTION_LEASE: &str = "/api/v1/projections/{name}/lease";
/// POST: a worker says that it is there.
pub const WORKER_REGISTER: &str = "/api/v1/workers/{id}/register";
/// POST: a worker says that it is still there.
pub const WORKER_HEARTBEAT: &str = "/api/v1/workers/{id}/heartbeat";
/// POST: asks about the tables of projections, in SQL.
pub const SQL: &str = "/api/v1/sql";
/// GET: work other than projections, of which there is none.
pub const WORKER_JOBS: &str = "/api/v1/workers/{id}/jobs";
/// GET: the cluster as this node sees it.
pub const CLUSTER: &str = "/api/v1/cluster";
/// POST: make a cluster of nodes that belong to none.
pub const CLUSTER_INIT: &str = "/api/v1/cluster/init";
/// POST: add a member.
pub const CLUSTER_MEMBERS: &str = "/api/v1/cluster/members";
/// DELETE: remove a member.
pub const CLUSTER_MEMBER: &str = "/api/v1/cluster/members/{id}";
/// POST: hand leadership over.
pub const CLUSTER_TRANSFER: &str = "/api/v1/cluster/transfer";
/// GET: how far the outbox is.
pub const OUTBOX: &str = "/api/v1/outbox";
/// POST: publish everything again.
pub const OUTBOX_REBUILD: &str = "/api/v1/outbox/rebuild";
/// GET: events by position.
pub const LOG: &str = "/api/v1/log";
/// POST creates, GET lists: key-value buckets.
pub const KV_BUCKETS: &str = "/api/v1/kv/buckets";
/// GET: what is in a bucket; DELETE: remove it.
pub const KV_BUCKET: &str = "/api/v1/kv/buckets/{bucket}";
/// GET: every change of a bucket's keys, over a WebSocket or as server-sent events.
pub const KV_WATCH: &str = "/api/v1/kv/buckets/{bucket}/watch";
/// GET: the keys of a bucket.
pub const KV_KEYS: &str = "/api/v1/kv/buckets/{bucket}/keys";
/// GET, PUT, DELETE: a key, which is all that follows, percent-decoded.
pub const KV_KEY: &str = "/api/v1/kv/buckets/{bucket}/keys/{*key}";
/// POST registers, GET lists: schemas of events.
pub const EVENT_SCHEMAS: &str = "/api/v1/events/schemas";
/// GET: the newest schema of events of a name.
pub const EVENT_SCHEMA_NEWEST: &str = "/api/v1/events/schemas/{name}";
/// GET: a schema; DELETE: remove it.
pub const EVENT_SCHEMA: &str = "/api/v1/events/schemas/{name}/{version}";
/// GET: all upcasters.
pub const UPCASTERS: &str = "/api/v1/upcasters";
/// GET, PUT, DELETE: the upcaster of events of a name from a schema version.
pub const UPCASTER: &str = "/api/v1/upcasters/{name}/{from_version}";
/// POST: try the upcasters of a name on data.
pub const UPCASTER_TEST: &str = "/api/v1/upcasters/{name}/test";
/// POST: the same as SDKs of the contract ask for it.
pub const EVENT_UPCAST: &str = "/api/v1/events/upcast";
/// GET: all rules.
pub const RULES: &str = "/api/v1/rules";
/// GET, PUT, DELETE: the rules of the namespace.
pub const RULES_NAMESPACE: &str = "/api/v1/rules/namespace";
/// GET, PUT, DELETE: the rules of an entity type.
pub const RULES_TYPE: &str = "/api/v1/rules/types/{entity_type}";
/// POST creates, GET lists: consumer groups.
pub const CONSUMER_GROUPS: &str = "/api/v1/consumer-groups";
/// GET: a consumer group and how far it is; PATCH: change it; DELETE: remove it.
pub const CONSUMER_GROUP: &str = "/api/v1/consumer-groups/{name}";
/// POST: take events in the name of a group.
pub const CONSUMER_GROUP_PULL: &str = "/api/v1/consumer-groups/{name}/pull";
/// POST: say what became of them.
pub const CONSUMER_GROUP_SETTLE: &str = "/api/v1/consumer-groups/{name}/settle";
/// GET: what the group has given up.
pub const CONSUMER_GROUP_DEAD_LETTERS: &str = "/api/v1/consumer-groups/{name}/dead-letters";
/// POST: hand dead letters out again.
pub const CONSUMER_GROUP_REPLAY: &str = "/api/v1/consumer-groups/{name}/replay";
/// GET: the events that a pattern takes, as they come, as server-sent events.
pub const SUBSCRIBE: &str = "/api/v1/subscribe";
/// GET: the events of a stream, as they come.
pub const STREAM_SUBSCRIBE: &str = "/api/v1/streams/{id}/subscribe";
/// GET: the WebSocket of the contract.
pub const SOCKET: &str = "/ws";
/// GET: what the server can do.
pub const CAPABILITIES: &str = "/api/v1/capabilities";
/// GET: what the server can be asked for, as an OpenAPI document.
pub const OPENAPI: &str = "/api/v1/openapi.json";
/// GET: the limits that the server keeps.
pub const LIMITS: &str = "/api/v1/limits";
/// GET: is the process there.
pub const HEALTH: &str = "/health";
/// GET: may the node serve.
pub const READY: &str = "/ready";
/// GET: is the process alive, for Kubernetes.
pub const LIVEZ: &str = "/livez";
/// GET: may the node serve, for Kubernetes.
pub const READYZ: &str = "/readyz";
/// GET: metrics for Prometheus.
pub const METRICS: &str = "/metrics";

/// POST: the Connect service of the contract; the method's name follows.
pub const CONNECT_STREAMS: &str = "/ironflow.v1.EntityStreamService/";
/// POST: the Connect service of the contract for subscriptions; the method's name follows.
pub const CONNECT_PUBSUB: &str = "/ironflow.v1.PubSubService/";

/// POST: the Connect service of the contract for projections; the method's name follows.
pub const CONNECT_PROJECTIONS: &str = "/ironflow.v1.ProjectionService/";

/// POST: the Connect service of the contract for schemas of events; the method's name follows.
pub const CONNECT_SCHEMAS: &str = "/ironflow.v1.EventSchemaService/";

/// The path with its one `{…}` filled by a name from outside, percent-encoded:
/// a `/` in an entity id stays within its segment.
#[must_use]
pub fn fill(template: &str, name: &str) -> String {
    let (Some(open), Some(close)) = (template.find('{'), template.find('}')) else {
        return template.to_owned();
    };
    let mut path = String::with_capacity(template.len() + name.len() * 3);
    path.push_str(&template[..open]);
    encode_segment(&mut path, name);
    path.push_str(&template[close + 1..]);
    path
}

/// The path of a key.
#[must_use]
pub fn kv_key(bucket: &str, key: &str) -> String {
    let mut path = fill(KV_KEYS, bucket);
    path.push('/');
    encode_segment(&mut path, key);
    path
}

/// The path of a schema of events, or of the newest of its name.
#[must_use]
pub fn event_schema(name: &str, version: Option<u32>) -> String {
    let mut path = fill(EVENT_SCHEMA_NEWEST, name);
    if let Some(version) = version {
        write!(path, "/{version}").expect("writing to a string cannot fail");
    }
    path
}

/// The path of a snapshot of a stream.
#[must_use]
pub fn snapshot(entity_id: &str, version: u64) -> String {
    let mut path = fill(STREAM_SNAPSHOTS, entity_id);
    write!(path, "/{version}").expect("writing to a string cannot fail");
    path
}

/// The path of the upcaster of events of a name from a schema version.
#[must_use]
pub fn upcaster(name: &str, from: u32) -> String {
    let mut path = format!("{UPCASTERS}/");
    encode_segment(&mut path, name);
    write!(path, "/{from}").expect("writing to a string cannot fail");
    path
}

/// The path of the rules of an entity type, or of the namespace.
#[must_use]
pub fn rules_of(entity_type: Option<&str>) -> String {
    entity_type.map_or_else(|| RULES_NAMESPACE.to_owned(), |entity_type| fill(RULES_TYPE, entity_type))
}

/// A name alone of `.` or `..` is encoded too, or URL parsers would fold it away.
fn encode_segment(path: &mut String, name: &str) {
    let dots = matches!(name, "." | "..");
    for byte in name.bytes() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'~' | b'.');
        if plain && !dots {
            path.push(char::from(byte));
        } else {
            write!(path, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_id_stays_within_its_segment() {
        for (id, path) in [
            ("order-1", "/api/v1/streams/order-1/events"),
            ("a/b", "/api/v1/streams/a%2Fb/events"),
            ("a b?c#d%", "/api/v1/streams/a%20b%3Fc%23d%25/events"),
            ("größe", "/api/v1/streams/gr%C3%B6%C3%9Fe/events"),
            ("{id}", "/api/v1/streams/%7Bid%7D/events"),
            ("x.y", "/api/v1/streams/x.y/events"),
        ] {
            assert_eq!(fill(STREAM_EVENTS, id), path);
        }
        assert_eq!(fill(STREAMS, "x"), STREAMS);
        assert_eq!(kv_key("b", "user:1/x"), "/api/v1/kv/buckets/b/keys/user%3A1%2Fx");
    }
}

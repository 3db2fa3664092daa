//! Every workload of the chaos harness on a quiet cluster: it does what it is
//! meant to do, and the checkers find nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{net::Ipv4Addr, path::Path, sync::Arc, time::Duration};

use weir_check::{
    Evidence, FinalState, History, Recorder, Rules, check,
    history::{Header, NodeReport, Topology},
    state::{JetStreamEnd, NodeEnd},
};
use weir_cluster_tests::{
    Cluster, ClusterSpec, PATIENCE,
    chaos::{
        counters::Counters,
        directory::Directory,
        gather,
        lull::Lull,
        stop::stop,
        workload::{self, Context, Outside, SINK, Workload},
    },
    postgres::Postgres,
    window,
};

/// How long the clients work.
const QUIET: Duration = Duration::from_secs(8);
/// What no quiet run shows: it takes faults.
const ONLY_UNDER_FIRE: &[&str] = &[];

#[tokio::test(flavor = "multi_thread")]
async fn guarded_appends_race_cleanly() {
    quiet(&["guarded"], QUIET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unguarded_appends_spread_cleanly() {
    quiet(&["unguarded"], QUIET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_of_every_kind_agree() {
    quiet(&["reads", "guarded"], QUIET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_have_one_outcome() {
    quiet(&["retries"], QUIET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn projections_count_once() {
    quiet(&["projections"], QUIET * 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_see_their_own_writes() {
    quiet(&["freshness"], QUIET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_get_everything() {
    quiet(&["consumers", "unguarded"], QUIET * 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn subscribers_see_everything_once() {
    quiet(&["subscribers", "unguarded"], QUIET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn members_come_and_go() {
    quiet(&["members"], QUIET * 4).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn imports_get_through() {
    quiet(&["imports"], QUIET * 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_keep_their_invariant() {
    quiet(&["accounts"], QUIET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bank_keeps_its_money() {
    quiet(&["bank"], QUIET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_registers_and_a_claim_is_held_by_one() {
    quiet(&["kv"], QUIET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn effects_come_in_order() {
    quiet(&["effects"], QUIET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_shows_the_fold_of_its_position() {
    quiet(&["sink"], QUIET * 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_input_is_refused_or_comes_back() {
    quiet(&["bad-input"], QUIET).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_workloads_work_beside_each_other() {
    let all: Vec<&str> = workload::all().iter().map(|workload| workload.name()).collect();
    quiet(&all, QUIET * 3).await;
}

/// Lets these workloads work without faults, and judges.
async fn quiet(names: &[&str], length: Duration) {
    let all = workload::all();
    let chosen: Vec<_> = all.into_iter().filter(|workload| names.contains(&workload.name())).collect();
    assert_eq!(chosen.len(), names.len(), "a workload is not there: {names:?}");
    let postgres = match chosen.iter().any(|workload| workload.needs_postgres()) {
        true => Some(Outside::new(Postgres::start(Ipv4Addr::LOCALHOST).await.expect("a PostgreSQL"))),
        false => None,
    };
    let sinks = postgres.as_ref().map(Outside::as_variable);
    let spec = ClusterSpec { nodes: 3, nats: true };
    let cluster = Cluster::start_in(spec, sinks.as_slice()).await.expect("a cluster");
    let file = cluster.path().join("history.jsonl");
    let recorder = Recorder::create(&file, &header(names)).expect("a history");
    let (stopper, stop) = stop();
    let context = Context {
        nodes: Directory::default(),
        recorder: recorder.clone(),
        nats: cluster.nats.iter().map(weir_cluster_tests::nats::NatsServer::url).collect(),
        postgres,
        seed: 7,
        load: 1,
        readers: 1,
        lull: Lull::default(),
        stop,
        counters: Counters::default(),
        folder: cluster.path().join("workloads"),
        clients: Arc::default(),
    };
    std::fs::create_dir_all(&context.folder).expect("a folder");
    cluster.nodes.iter().for_each(|node| context.nodes.enter(node.id, node.edge.clone()));
    for workload in &chosen {
        workload.prepare(&context).await.expect("a healthy cluster does what it is asked");
    }
    let running: Vec<_> =
        chosen.iter().cloned().map(|workload| tokio::spawn(work(workload, context.clone()))).collect();
    window(length).await;
    stopper.stop();
    for running in running {
        running.await.expect("no workload panics").expect("no answer is wrong");
    }
    for workload in &chosen {
        workload.settle(&context).await.expect("a healthy cluster does what it is asked");
    }
    recorder.flush().expect("a whole history");
    let counts = context.counters.all();
    println!("{counts:#?}\n{:?}", recorder.counts());
    judge(&file, &gather(&cluster).await);
    let due = chosen.iter().flat_map(|workload| workload.coverage());
    let hollow: Vec<_> =
        due.filter(|name| context.counters.get(name) == 0 && !ONLY_UNDER_FIRE.contains(name)).collect();
    // Side by side they starve each other on a small machine; alone, each must do all that it is there for.
    assert!(hollow.is_empty() || chosen.len() > 1, "never happened: {hollow:?}");
    cluster.finish(&[&format!("sink `{SINK}` is not available")]).expect("no node logged another error");
}

async fn work(workload: Arc<dyn Workload>, context: Context) -> anyhow::Result<()> {
    workload.run(&context).await
}

fn header(names: &[&str]) -> Header {
    Header::new(7, Topology { kind: "t95".to_owned(), nodes: vec![1, 2, 3], nats: 1 }, names)
}

fn judge(file: &Path, end: &FinalState) {
    let history = History::load(file).expect("a readable history");
    let report = check(&Evidence::new(&history, end, Rules::default()), &workload::folds);
    println!("{report}");
    assert!(report.holds(), "the checkers found something in {}", file.display());
}

async fn gather(cluster: &Cluster) -> FinalState {
    let last = cluster.settled().await.expect("the nodes agree");
    let mut end = FinalState::default();
    for node in &cluster.nodes {
        let status = node.edge.status().await.expect("a status");
        let report = NodeReport {
            incarnation: 1,
            applied_index: status.applied_index,
            position: status.applied_position,
            digest: status.applied_digest,
            term: status.term,
            leader: status.leader,
            ..NodeReport::default()
        };
        let replica = node.edge.replica(node.id).await.expect("a replica");
        let events = replica.events.into_iter().map(gather::stored_event).collect();
        end.nodes.push(NodeEnd { node: node.id, report, events });
    }
    cluster.published(last, PATIENCE).await.expect("the outbox catches up");
    let published = cluster.nats.as_ref().unwrap().published().await.expect("what is published");
    let messages = published.into_iter().map(gather::published).collect();
    end.jetstream = Some(JetStreamEnd { messages, trimmed_to: 0 });
    end
}

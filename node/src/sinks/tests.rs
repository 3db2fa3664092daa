#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use tempfile::TempDir;
use uuid::Uuid;
use weir_types::{LogIndex, Position, SqlStatement, SqlStep, SqlValue};

use super::{server::Server, *};

const TABLES: &str = "create table orders (id text primary key, total double precision check (total >= 0),
        placed boolean, note text);
    create table log (position bigint primary key, made timestamptz not null default now());
    create view sums as select sum(total) as total from orders;";

/// A node's sinks, in a folder of its own.
struct Node {
    sinks: Arc<Sinks>,
    _folder: TempDir,
}

fn sink() -> SinkName {
    SinkName::new("reporting").unwrap()
}

fn id(deployed: u64) -> ProjectionId {
    ProjectionId { name: ProjectionName::new("orders").unwrap(), deployed: LogIndex(deployed) }
}

fn node_of(server: &Server, cluster: u128) -> Node {
    let folder = TempDir::new().unwrap();
    let configs = BTreeMap::from([(sink(), server.url().parse().unwrap())]);
    let marks = SinkMarks::in_folder(folder.path().to_owned());
    let cluster = ClusterId(Uuid::from_u128(cluster));
    Node { sinks: Sinks::new(&configs, cluster, marks, CancellationToken::new()), _folder: folder }
}

impl Node {
    async fn open(&self, deployed: u64) -> Result<Checkpoint, ReadError> {
        let tables = TablesDefinition { sink: Some(sink()), sql: TABLES.into() };
        self.sinks.open(&id(deployed), &sink(), &tables).await
    }

    async fn opened(&self, deployed: u64) -> Checkpoint {
        self.open(deployed).await.unwrap()
    }

    async fn commit(&self, deployed: u64, change: &TableChange) -> Result<Option<SqlFault>, ReadError> {
        self.sinks.commit(&id(deployed), &sink(), change).await
    }

    /// Carries out what each position does, one change for each, until it is done.
    async fn fold(&self, deployed: u64, from: u64, to: u64) {
        for position in from..=to {
            let change = change(position - 1, position, vec![counted(position)]);
            assert_eq!(self.commit(deployed, &change).await, Ok(None), "{position}");
        }
    }
}

fn at(position: u64) -> Checkpoint {
    Checkpoint {
        position: Position(position),
        events: position,
        digest: u64::MAX - position,
        ..Checkpoint::default()
    }
}

fn change(after: u64, to: u64, steps: Vec<SqlStep>) -> TableChange {
    TableChange { after: Position(after), checkpoint: at(to), steps, skipped: None }
}

fn step(position: u64, text: &str, parameters: &[SqlValue]) -> SqlStep {
    let statement = SqlStatement { text: text.into(), parameters: parameters.to_vec() };
    SqlStep { position: Position(position), statements: vec![statement] }
}

/// Counts how often it is carried out: a second time would be a fault.
fn counted(position: u64) -> SqlStep {
    let position = i64::try_from(position).unwrap();
    step(position.cast_unsigned(), "insert into log values ($1)", &[SqlValue::Integer(position)])
}

async fn names(server: &Server) -> Vec<String> {
    let sql = "select nspname::text from pg_namespace where nspname like 'orders%' order by 1";
    let rows = server.client().await.query(sql, &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    while !is_so().await {
        assert!(std::time::Instant::now() < deadline, "in 30 s it was never so that {what}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_nodes_that_compete_one_carries_each_event_out() {
    let server = Server::start().await;
    let nodes: Vec<_> = (0..3).map(|_| node_of(&server, 1)).collect();
    for node in &nodes {
        assert_eq!(node.opened(1).await.position, Position::ZERO);
    }
    // Batches of other sizes on each: what they do overlaps.
    let folding = nodes.iter().zip([1_u64, 3, 7]).map(|(node, size)| async move {
        let mut after = 0;
        while after < 210 {
            let to = (after + size).min(210);
            let steps = (after + 1..=to).map(counted).collect();
            assert_eq!(node.commit(1, &change(after, to, steps)).await, Ok(None));
            after = to;
        }
    });
    futures::future::join_all(folding).await;
    assert_eq!(server.number("select count(*) from orders.log").await, Some(210));
    assert_eq!(nodes[0].opened(1).await, at(210));
    // Whoever is behind finds all of it done; whoever is ahead of it is told.
    nodes[1].fold(1, 1, 10).await;
    let ahead = nodes[2].commit(1, &change(211, 212, vec![counted(212)])).await.unwrap_err();
    assert!(ahead.to_string().contains("reflect position 210"), "{ahead}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_lost_amid_a_commit_leaves_all_or_nothing() {
    let server = Server::start().await;
    let (node, other) = (node_of(&server, 1), node_of(&server, 1));
    node.opened(1).await;
    other.opened(1).await;
    let (killing, stop) = (server.client().await, CancellationToken::new());
    let stopped = stop.clone();
    let killer = tokio::spawn(async move {
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity
            where application_name = 'weir' and state <> 'idle' and random() < 0.3";
        let mut killed = 0;
        while !stopped.is_cancelled() {
            killed += killing.query(sql, &[]).await.unwrap().len();
        }
        killed
    });
    let folding = [&node, &other].map(|node| async {
        let (mut after, mut failed) = (0, 0);
        while after < 300 || failed < 3 {
            let to = after + 10;
            let steps = (after + 1..=to).map(counted).collect();
            match node.commit(1, &change(after, to, steps)).await {
                Ok(None) => after = to,
                Ok(Some(fault)) => panic!("{fault:?}"),
                Err(_) => failed += 1,
            }
        }
        after
    });
    let last = futures::future::join_all(folding).await.into_iter().max().unwrap();
    stop.cancel();
    assert!(killer.await.unwrap() > 0);
    assert_eq!(server.number("select count(*) from orders.log").await, Some(last.cast_signed()));
    assert_eq!(node.opened(1).await, at(last));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_one_node_has_passed_is_passed_by_all() {
    let server = Server::start().await;
    let (first, second) = (node_of(&server, 1), node_of(&server, 1));
    first.opened(1).await;
    second.opened(1).await;
    let bad = || step(2, "insert into orders values ('a', -1)", &[]);
    let all = change(0, 3, vec![counted(1), bad(), counted(3)]);
    let fault = first.commit(1, &all).await.unwrap().unwrap();
    assert!(fault.message.contains("orders_total_check") && fault.message.contains("23514"), "{fault:?}");
    assert_eq!((fault.position, first.opened(1).await.position), (Position(2), Position::ZERO));
    let skipping = |fault: &SqlFault| {
        let checkpoint = Checkpoint { dead_letters: 1, ..at(2) };
        TableChange { checkpoint, skipped: Some(fault.clone()), ..change(0, 2, vec![counted(1)]) }
    };
    assert_eq!(first.commit(1, &skipping(&fault)).await, Ok(None));
    for position in 3..=4 {
        let checkpoint = Checkpoint { dead_letters: 1, ..at(position) };
        let next = TableChange { checkpoint, ..change(position - 1, position, vec![counted(position)]) };
        assert_eq!(first.commit(1, &next).await, Ok(None));
    }
    // The constraint goes: it would be carried out now, and is not.
    let sql = "alter table orders.orders drop constraint orders_total_check";
    server.client().await.batch_execute(sql).await.unwrap();
    assert_eq!(second.commit(1, &all).await, Ok(Some(fault.clone())));
    let other_words = SqlFault { message: "other".into(), ..fault.clone() };
    assert_eq!(second.commit(1, &skipping(&other_words)).await, Ok(Some(fault.clone())));
    assert_eq!(second.commit(1, &skipping(&fault)).await, Ok(None));
    second.fold(1, 3, 5).await;
    assert_eq!(server.number("select count(*) from orders.orders").await, Some(0));
    assert_eq!(server.number("select count(*) from orders.log").await, Some(4));
    // One that was carried out is no dead letter, whatever came of it elsewhere.
    let mine =
        TableChange { skipped: Some(SqlFault { position: Position(4), ..fault }), ..change(2, 4, vec![]) };
    let refused = second.commit(1, &mine).await.unwrap_err();
    assert!(refused.to_string().contains("which failed here"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_are_of_the_types_of_their_columns() {
    let server = Server::start().await;
    let node = node_of(&server, 1);
    node.opened(1).await;
    let values = [
        SqlValue::Text("o'1\"; drop table orders".into()),
        SqlValue::Real(1.5e300),
        SqlValue::Integer(1),
        SqlValue::Null,
    ];
    let insert = "insert into orders values ($1, $2, $3, $4)";
    assert_eq!(node.commit(1, &change(0, 1, vec![step(1, insert, &values)])).await, Ok(None));
    let sql = "select id, total, placed, note from orders.orders";
    let row = server.client().await.query_one(sql, &[]).await.unwrap();
    let read: (String, f64, bool, Option<String>) = (row.get(0), row.get(1), row.get(2), row.get(3));
    assert_eq!(read, ("o'1\"; drop table orders".into(), 1.5e300, true, None));
    for (text, parameters, told) in [
        (insert, &values[..3], "08P01"),
        ("insert into orders values ($1, 1)", &[SqlValue::Text("a\0b".into())][..], "22021"),
        ("insert into orders (total) values ($1)", &[SqlValue::Text("much".into())], "22P02"),
        ("insert into nowhere values (1)", &[], "42P01"),
        ("select 1; select 2", &[], "42601"),
        ("commit", &[], "may not begin with `commit`"),
        ("do $$ begin commit; end $$", &[], "2D000"),
        ("select 1 / 0", &[], "22012"),
    ] {
        let fault = node.commit(1, &change(1, 2, vec![step(2, text, parameters)])).await.unwrap();
        let fault = fault.unwrap_or_else(|| panic!("{text} was carried out"));
        assert!(fault.message.contains(told), "{text}: {}", fault.message);
    }
    for text in
        ["update orders set note = $1::int + 1 returning note", "select total from sums where total > $1"]
    {
        let once = change(1, 2, vec![step(2, text, &[SqlValue::Integer(41)])]);
        assert_eq!(node.commit(1, &once).await, Ok(None), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_generation_takes_the_name_when_it_has_caught_up() {
    let server = Server::start().await;
    let (node, behind) = (node_of(&server, 1), node_of(&server, 1));
    node.opened(1).await;
    behind.opened(1).await;
    node.fold(1, 1, 5).await;
    node.opened(7).await;
    assert_eq!(names(&server).await, ["orders", "orders@7"]);
    node.fold(7, 1, 4).await;
    assert_eq!(node.sinks.forget(&id(1)).await, Ok(true));
    // It is behind still.
    assert_eq!(node.sinks.try_release(&id(1), &sink()).await, Ok(Released::Waits));
    assert_eq!(names(&server).await, ["orders", "orders@7"]);
    node.fold(7, 5, 5).await;
    until("it has taken over", async || names(&server).await == ["orders"]).await;
    until("nothing is left to drop", async || node.sinks.kept().await.unwrap() == [id(7)]).await;
    node.fold(7, 6, 6).await;
    assert_eq!(server.number("select max(position) from orders.log").await, Some(6));
    // A node that folds the one before still changes nothing, nor makes it anew.
    behind.fold(1, 1, 9).await;
    assert_eq!(behind.opened(1).await.position, Position(u64::MAX));
    assert_eq!(server.number("select count(*) from orders.log").await, Some(6));
    // Removed: all of it goes, and stays gone.
    assert_eq!(node.sinks.forget(&id(7)).await, Ok(true));
    until("its tables are gone", async || names(&server).await.is_empty()).await;
    behind.opened(7).await;
    behind.fold(7, 1, 3).await;
    assert!(names(&server).await.is_empty());
    // Deployed again.
    node.opened(20).await;
    assert_eq!(names(&server).await, ["orders"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_others_is_left_alone() {
    let server = Server::start().await;
    let (node, stranger) = (node_of(&server, 1), node_of(&server, 2));
    let checked = async |node: &Node, name: &str, tables: &str| {
        node.sinks.check(&ProjectionName::new(name).unwrap(), &sink(), tables).await
    };
    assert_eq!(checked(&node, "orders", TABLES).await, Ok(()));
    assert_eq!(server.number("select count(*) from pg_namespace where nspname = 'weir'").await, Some(0));
    node.opened(1).await;
    assert_eq!(checked(&node, "orders", TABLES).await, Ok(()));
    server.client().await.batch_execute("create schema theirs").await.unwrap();
    for (of, name, tables, told) in [
        (&node, "theirs", TABLES, "there is a schema `theirs`"),
        (&node, "weir", TABLES, "there is a schema `weir`"),
        (&node, "public", TABLES, "there is a schema `public`"),
        (&node, "other", "create table a (b nothing)", "42704"),
        (&node, "other", "create table a (b int); commit; create table c (d int)", "may not begin or end"),
        (&node, &"x".repeat(64), TABLES, "over 63 bytes"),
        (&stranger, "orders", TABLES, "of the cluster 00000000-0000-0000-0000-000000000001"),
    ] {
        let refused = checked(of, name, tables).await;
        assert!(matches!(&refused, Err(SqlError::Refused(why)) if why.contains(told)), "{name}: {refused:?}");
    }
    let refused = stranger.open(1).await.unwrap_err().to_string();
    assert!(refused.contains("of the cluster"), "{refused}");
    let left = "select count(*) from pg_namespace where nspname like '%@check'";
    assert_eq!(server.number(left).await, Some(0));
    let unknown = node.sinks.check(&id(1).name, &SinkName::new("other").unwrap(), TABLES).await.unwrap_err();
    assert_eq!(unknown.to_string(), "this node has no sink `other`; it has `reporting`");
    server.client().await.batch_execute("update weir.format set version = 2").await.unwrap();
    let refused = node.open(2).await.unwrap_err().to_string();
    assert!(refused.contains("the format 2"), "{refused}");
}

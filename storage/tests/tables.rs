//! Tables of projections: exactly once, what an author may do, and what is left of a damaged file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::{fs, io::Write as _, path::Path, time::Duration};

use tempfile::TempDir;
use weir_storage::tables::Tables;
use weir_types::{
    LogIndex, Position, ProjectionId, ProjectionName, SqlError, SqlQuery, SqlRows, SqlStatement, SqlStep,
    SqlValue, ports::Checkpoint,
};

const ORDERS: &str = "create table orders (id text primary key, total real not null check (total >= 0));
    create table lines (of text references orders (id));
    create view totals as select sum(total) as total from orders;";

fn id(deployed: u64) -> ProjectionId {
    ProjectionId { name: ProjectionName::new("orders").unwrap(), deployed: LogIndex(deployed) }
}

fn at(position: u64) -> Checkpoint {
    Checkpoint {
        position: Position(position),
        events: position,
        digest: u64::MAX - position,
        ..Checkpoint::default()
    }
}

fn statement(text: &str, parameters: &[SqlValue]) -> SqlStatement {
    SqlStatement { text: text.into(), parameters: parameters.to_vec() }
}

fn insert(position: u64, total: f64) -> SqlStep {
    let parameters = [SqlValue::Text(format!("o-{position}")), SqlValue::Real(total)];
    let statements = vec![statement("insert into orders values (?, ?)", &parameters)];
    SqlStep { position: Position(position), statements }
}

fn one(position: u64, text: &str) -> SqlStep {
    SqlStep { position: Position(position), statements: vec![statement(text, &[])] }
}

fn asked(tables: &Tables, text: &str) -> Result<SqlRows, SqlError> {
    tables.query(&SqlQuery {
        statement: statement(text, &[]),
        projections: vec![(id(1).name, id(1))],
        rows_max: 100,
        bytes_max: 10_000,
        within: Duration::from_secs(2),
    })
}

fn count(tables: &Tables) -> SqlValue {
    asked(tables, "select count(*) from orders").unwrap().rows[0][0].clone()
}

fn opened(folder: &Path) -> (Tables, Checkpoint) {
    let tables = Tables::in_folder(folder.to_owned());
    let checkpoint = tables.open(&id(1), ORDERS).unwrap();
    (tables, checkpoint)
}

#[test]
fn rows_and_their_checkpoint_are_one() {
    let folder = TempDir::new().unwrap();
    let (tables, checkpoint) = opened(folder.path());
    assert_eq!(checkpoint, Checkpoint::default());
    assert_eq!(tables.commit(&id(1), &at(2), &[insert(1, 5.0), insert(2, 2.5)]), Ok(None));
    // The third cannot be carried out: neither it nor those with it, nor their checkpoint.
    let fault = tables.commit(&id(1), &at(5), &[insert(3, 1.0), insert(4, -1.0), insert(5, 1.0)]);
    let fault = fault.unwrap().unwrap();
    assert_eq!(fault.position, Position(4));
    assert!(fault.message.contains("CHECK constraint"), "{}", fault.message);
    let rows = asked(&tables, "select count(*), totals.total from orders, totals").unwrap();
    assert_eq!(rows.rows, [[SqlValue::Integer(2), SqlValue::Real(7.5)]]);
    assert_eq!(rows.positions, [(id(1).name, Position(2))]);
    drop(tables);
    let (tables, checkpoint) = opened(folder.path());
    assert_eq!((checkpoint, count(&tables)), (at(2), SqlValue::Integer(2)));
}

#[test]
fn an_author_changes_rows_of_own_tables_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let (tables, _) = opened(folder.path());
    for (text, told) in [
        ("update _weir_checkpoint set position = 9", "not authorized"),
        ("update \"_WEIR_checkpoint\" set position = 9", "not authorized"),
        ("select position from _weir_checkpoint", "prohibited"),
        ("delete from sqlite_schema", ""),
        ("create table other (a)", "not authorized"),
        ("drop table orders", "not authorized"),
        ("pragma user_version = 7", "not authorized"),
        ("attach database ':memory:' as other", "not authorized"),
        ("commit", "not authorized"),
        ("savepoint s", "not authorized"),
        ("insert into orders values (random(), 1)", "not authorized"),
        ("insert into orders values (current_timestamp, 1)", "not authorized"),
        ("insert into orders values (date('now'), 1)", "not authorized"),
        ("insert into orders values (changes(), 1)", "not authorized"),
        ("insert into orders values (sqlite_version(), 1)", "not authorized"),
        ("insert into orders select file, 1 from pragma_database_list", "prohibited"),
        ("insert into orders select name, 1 from dbstat", "prohibited"),
        ("insert into orders select sql, 1 from sqlite_schema", "prohibited"),
        ("insert or rollback into orders values ('a', -1)", "CHECK constraint"),
        ("insert or fail into orders select value, 2 - value from json_each('[1,2,3]')", "CHECK constraint"),
        ("insert into lines values ('nowhere')", "FOREIGN KEY constraint"),
        ("vacuum", ""),
        ("analyze", "not authorized"),
        ("reindex", "not authorized"),
        ("insert into orders values ('a', 1); insert into orders values ('b', 1)", "Multiple statements"),
        ("insert into orders values (?, 1)", "parameter"),
        ("insert into nowhere values (1)", "no such table"),
        ("insert into orders values (zeroblob(2000000), 1)", "too big"),
        (
            "with recursive n(i) as (select 1 union all select i + 1 from n) insert into orders select i, i from n where i < 0",
            "steps",
        ),
    ] {
        let fault = tables.commit(&id(1), &at(1), &[one(1, text)]).unwrap();
        let fault = fault.unwrap_or_else(|| panic!("{text} was carried out"));
        assert!(fault.message.contains(told), "{text}: {}", fault.message);
    }
    assert_eq!(count(&tables), SqlValue::Integer(0));
    for text in [
        "insert into orders values ('a', 1) on conflict (id) do update set total = total + excluded.total",
        "insert into orders values ('a', 1) on conflict (id) do update set total = total + excluded.total",
        "with recursive n(i) as (select 1 union all select i + 1 from n where i < 50) insert into orders select i, i from n",
        "update orders set total = total * 2 where id = 'a' returning total",
        "select 1",
    ] {
        assert_eq!(tables.commit(&id(1), &at(1), &[one(1, text)]), Ok(None), "{text}");
    }
    let rows = asked(&tables, "select total from orders where id = 'a'").unwrap();
    assert_eq!((rows.rows, count(&tables)), (vec![vec![SqlValue::Real(4.0)]], SqlValue::Integer(51)));
}

#[test]
fn tables_that_are_not_legal_are_told() {
    for (definition, told) in [
        ("create table", "incomplete input"),
        ("create table a (b); insert into a values (1)", "not authorized"),
        ("create table _weir_mine (a)", "not authorized"),
        ("create temp table a (b)", "not authorized"),
        ("create virtual table a using fts5(b)", "not authorized"),
        ("create trigger t after insert on a begin select 1; end", ""),
        ("pragma journal_mode = off", "not authorized"),
        ("attach database 'x' as y", "not authorized"),
        ("create table a (b default (random()))", "not authorized"),
        ("create table a (b, c default current_timestamp)", "not authorized"),
        ("create table a (b default ('x' || random()))", "not authorized"),
        ("create table a (b default (1 + 1))", "a.b is computed"),
        ("create table a (b default ('x' || lower('Y')))", "a.b is computed"),
        ("create table a (b check (b < random()))", ""),
        ("create table a (b, c as (random()))", ""),
        ("create table a (b default (datetime('now')))", "not authorized"),
        ("create table a as select random() as b", "not authorized"),
        ("create table a as select * from pragma_database_list", ""),
        ("create index a on _weir_checkpoint (position)", "not authorized"),
        ("create table pragma_mine (a)", "not authorized"),
        (
            "create table a (b primary key); create table c (d references a (b) deferrable initially deferred)",
            "cannot be deferred",
        ),
        ("commit", "not authorized"),
    ] {
        let refused = Tables::check(definition).expect_err(definition);
        assert!(refused.contains(told), "{definition}: {refused}");
    }
    let good = "create table a (id integer primary key, b text not null unique, c real default 0, g text default 'f(x)') strict;
        create table d (a references a (id), primary key (a)) without rowid; create index e on a (b desc);
        create unique index f on a (lower(b)); create view g as select count(*) from a;
        create table h (i integer primary key autoincrement, j text default 'it''s', k default -1, l default null);";
    assert_eq!(Tables::check(good), Ok(()));
    assert_eq!(Tables::check(""), Ok(()));
}

#[test]
fn a_question_reads_within_its_limits_and_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let (tables, _) = opened(folder.path());
    let many = "with recursive n(i) as (select 1 union all select i + 1 from n where i < 500) insert into orders select i, i from n";
    tables.commit(&id(1), &at(1), &[one(1, many)]).unwrap();
    let rows = asked(&tables, "select id from orders order by total").unwrap();
    assert_eq!((rows.rows.len(), rows.truncated, rows.columns), (100, true, vec!["id".to_owned()]));
    let wide = asked(&tables, "select hex(zeroblob(4000)) from orders").unwrap();
    assert_eq!((wide.rows.len(), wide.truncated), (1, true));
    let qualified = asked(
        &tables,
        "select count(*) from \"orders\".orders where total > (select avg(total) from orders)",
    );
    assert_eq!(qualified.unwrap().rows, [[SqlValue::Integer(250)]]);
    assert_eq!(asked(&tables, "select name from sqlite_schema where 0").unwrap().rows.len(), 0);
    for text in [
        "delete from orders",
        "insert into orders values ('x', 1)",
        "create table t (a)",
        "create temp table t (a)",
        "attach database '/etc/passwd' as p",
        "detach database orders",
        "pragma query_only = 0",
        "commit",
        "vacuum into '/tmp/copy'",
        "select load_extension('x')",
        "select file from pragma_database_list",
        "select 1; select 2",
        "select zeroblob(2000000)",
        "selekt",
        "",
    ] {
        let refused = asked(&tables, text);
        assert!(matches!(refused, Err(SqlError::Refused(_))), "{text}: {refused:?}");
    }
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";
    let query = SqlQuery {
        statement: statement(endless, &[]),
        projections: vec![(id(1).name, id(1))],
        rows_max: 1,
        bytes_max: 100,
        within: Duration::from_millis(50),
    };
    assert_eq!(tables.query(&query), Err(SqlError::TimedOut { within: query.within }));
    assert_eq!(count(&tables), SqlValue::Integer(500));
}

#[test]
fn a_damaged_file_is_made_anew_and_a_lost_one_too() {
    let folder = TempDir::new().unwrap();
    let (tables, _) = opened(folder.path());
    let steps: Vec<_> = (1..=400).map(|position| insert(position, 1.0)).collect();
    tables.commit(&id(1), &at(400), &steps).unwrap();
    drop(tables);
    assert_eq!(opened(folder.path()).1, at(400));
    let file = folder.path().join("orders@1.sqlite");
    let sound = fs::read(&file).unwrap();
    assert!(sound.len() > 8_192, "there are pages to damage");
    for (from, to) in [(0, 100), (4_096, 6_000), (0, sound.len())] {
        let mut bytes = sound.clone();
        bytes[from..to].fill(0xa5);
        fs::write(&file, bytes).unwrap();
        let (tables, checkpoint) = opened(folder.path());
        assert_eq!(
            (checkpoint, count(&tables)),
            (Checkpoint::default(), SqlValue::Integer(0)),
            "{from}..{to}"
        );
    }
    let (tables, _) = opened(folder.path());
    assert_eq!(tables.kept(), Ok(vec![id(1)]));
    tables.forget(&id(1)).unwrap();
    assert_eq!((tables.kept(), file.exists()), (Ok(vec![]), false));
    assert_eq!(tables.open(&id(1), ORDERS), Ok(Checkpoint::default()));
}

#[test]
fn each_event_has_a_measure_of_steps_of_its_own() {
    let folder = TempDir::new().unwrap();
    let (tables, _) = opened(folder.path());
    // Over half of what one event may take; the last row is told from the others, so that nothing is made twice.
    let counting = |row: u64| {
        let text = format!(
            "insert into orders with recursive n(i) as (select 1 union all select i + 1 from n where i < 400000)
             select 'o-{row}', max(i) from n"
        );
        statement(&text, &[])
    };
    let step = |position: u64, rows: &[u64]| SqlStep {
        position: Position(position),
        statements: rows.iter().map(|row| counting(*row)).collect(),
    };
    assert_eq!(tables.commit(&id(1), &at(3), &[step(1, &[1]), step(2, &[2]), step(3, &[3])]), Ok(None));
    let fault = tables.commit(&id(1), &at(4), &[step(4, &[4, 5])]).unwrap().unwrap();
    assert_eq!((fault.position, fault.message.contains("steps")), (Position(4), true), "{}", fault.message);
    // What is undone by the engine itself is undone here too, and the next transaction is whole.
    assert_eq!(count(&tables), SqlValue::Integer(3));
    assert_eq!(tables.commit(&id(1), &at(4), &[step(4, &[4])]), Ok(None));
    assert_eq!((count(&tables), tables.open(&id(1), ORDERS)), (SqlValue::Integer(4), Ok(at(4))));
}

#[test]
fn what_an_earlier_event_of_a_batch_did_is_undone_with_a_later_fault() {
    let folder = TempDir::new().unwrap();
    let (tables, _) = opened(folder.path());
    for text in ["insert or rollback into orders values ('a', -1)", "insert into orders values (random(), 1)"]
    {
        let fault = tables.commit(&id(1), &at(2), &[insert(1, 1.0), one(2, text)]).unwrap();
        assert_eq!(fault.map(|fault| fault.position), Some(Position(2)), "{text}");
        assert_eq!(
            (count(&tables), tables.open(&id(1), ORDERS)),
            (SqlValue::Integer(0), Ok(Checkpoint::default())),
            "{text}"
        );
    }
    assert_eq!(tables.commit(&id(1), &at(1), &[insert(1, 1.0)]), Ok(None));
}

#[test]
fn what_a_question_finds_damaged_is_made_anew_by_the_fold() {
    let folder = TempDir::new().unwrap();
    let (tables, _) = opened(folder.path());
    let steps: Vec<_> = (1..=400).map(|position| insert(position, 1.0)).collect();
    tables.commit(&id(1), &at(400), &steps).unwrap();
    for ending in ["", "-wal"] {
        let path = folder.path().join(format!("orders@1.sqlite{ending}"));
        let bytes = fs::read(&path).unwrap();
        // In place: the store has the file open.
        let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.write_all(&vec![0xa5; bytes.len()]).unwrap();
    }
    assert!(matches!(asked(&tables, "select sum(total) from orders"), Err(SqlError::Read(_))));
    assert!(tables.commit(&id(1), &at(401), &[insert(401, 1.0)]).is_err(), "the fold is told to begin anew");
    assert_eq!(tables.open(&id(1), ORDERS), Ok(Checkpoint::default()));
    assert_eq!(tables.commit(&id(1), &at(1), &[insert(1, 1.0)]), Ok(None));
    assert_eq!(count(&tables), SqlValue::Integer(1));
}

#[test]
fn a_question_sees_one_moment_while_events_are_folded() {
    let folder = TempDir::new().unwrap();
    let (tables, _) = opened(folder.path());
    std::thread::scope(|scope| {
        let fold = scope.spawn(|| {
            for position in 1..=300 {
                assert_eq!(tables.commit(&id(1), &at(position), &[insert(position, 1.0)]), Ok(None));
            }
        });
        while !fold.is_finished() {
            let rows = asked(&tables, "select count(*) from orders").unwrap();
            let count = i64::try_from(rows.positions[0].1.0).unwrap();
            assert_eq!(rows.rows, [[SqlValue::Integer(count)]]);
        }
    });
    assert_eq!(count(&tables), SqlValue::Integer(300));
}

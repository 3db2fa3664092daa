//! Projections into tables, and questions about them in SQL.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{eventually::eventually, running::Running};

fn source(name: &str, guard: &str, factor: u64, more: &str) -> String {
    let source = format!(
        "export const name = '{name}'; export const kind = 'sql'; export const events = ['*'];\n\
         export const tables = 'create table counts (stream text primary key, n integer not null check (n < 100));\
                                create table log (position integer primary key, name text)';\n\
         export function handler(event, context) {{ {guard}\n\
           return [\n\
             ['insert into counts values (?, ?) on conflict (stream) do update set n = n + excluded.n', event.entityId, {factor}],\n\
             ['insert into log values (?, ?)', event.position, context.event.name],\n\
           ];\n\
         }}\n{more}"
    );
    json!({ "source": source }).to_string()
}

async fn deploy(node: &Running, body: String) {
    let (status, answer) = node.post("/api/v1/projections", body).await;
    assert_eq!(status.as_u16(), 201, "{answer}");
}

/// Asks in SQL, once all that was acknowledged is folded.
async fn ask(node: &Running, sql: &str) -> Value {
    let body = json!({ "sql": sql, "consistency": "linearizable" });
    let (status, answer) = node.post("/api/v1/sql", body.to_string()).await;
    assert_eq!(status.as_u16(), 200, "{sql}: {answer}");
    answer
}

async fn status(node: &Running, name: &str) -> Value {
    node.get(&format!("/api/v1/projections/{name}/status")).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_is_asked_in_sql() {
    let node = Running::start().await;
    deploy(&node, source("counts", "", 1, "")).await;
    for version in 0..5 {
        node.append("a", version).await;
        node.append("b", version).await;
    }
    let answer = ask(&node, "select stream, n from counts order by stream").await;
    assert_eq!(
        (&answer["columns"], &answer["rows"]),
        (&json!(["stream", "n"]), &json!([["a", 5], ["b", 5]]))
    );
    assert_eq!((&answer["positions"], &answer["truncated"]), (&json!({"counts": 10}), &false.into()));
    let body =
        json!({ "sql": "select n from counts where stream = ?", "parameters": ["b"], "minPosition": 10 });
    assert_eq!(node.post("/api/v1/sql", body.to_string()).await.1["rows"], json!([[5]]));
    // Tables of several projections are seen together, each under its name.
    deploy(&node, source("twice", "", 2, "")).await;
    let joined =
        "select o.stream, o.n, t.n from counts.counts o join twice.counts t using (stream) order by 1";
    assert_eq!(ask(&node, joined).await["rows"], json!([["a", 5, 10], ["b", 5, 10]]));
    let endless = "with recursive n(i) as (select 1 union all select i + 1 from n)";
    for (body, status, code) in [
        (json!({ "sql": "delete from log" }), 400, "sql_invalid"),
        (json!({ "sql": "select * from nowhere" }), 400, "sql_invalid"),
        (json!({ "sql": "select 1", "projections": ["none"] }), 404, "projection_not_found"),
        (json!({ "sql": "select 1", "limit": 0 }), 400, "invalid_request"),
        (json!({ "sql": "select 1", "minPosition": 11, "projections": ["counts"] }), 504, "stale"),
        (
            json!({ "sql": format!("{endless} select count(*) from n"), "timeoutMs": 50 }),
            504,
            "deadline_exceeded",
        ),
        (json!({ "sql": format!("select '{}'", "x".repeat(1_100_000)) }), 400, "sql_invalid"),
    ] {
        let (got, refused) = node.post("/api/v1/sql", body.to_string()).await;
        assert_eq!((got.as_u16(), &refused["code"]), (status, &code.into()), "{body}: {refused}");
    }
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_outlive_their_node_and_are_made_anew_from_the_log() {
    let node = Running::start().await;
    deploy(&node, source("counts", "", 1, "")).await;
    for version in 0..20 {
        node.append("a", version).await;
    }
    let all = "select (select n from counts), (select count(*) from log), (select max(position) from log)";
    let expected = json!([[20, 20, 20]]);
    assert_eq!(ask(&node, all).await["rows"], expected);
    let digest = status(&node, "counts").await["digest"].clone();
    let mut node = node;
    for damage in ["none", "damaged", "lost"] {
        let Running { node: stopped, folder, .. } = node;
        stopped.stop().await;
        for file in fs::read_dir(folder.path().join("node/sql")).unwrap() {
            let path = file.unwrap().path();
            match damage {
                "damaged" => fs::write(path, [0xa5; 9_000]).unwrap(),
                "lost" => fs::remove_file(path).unwrap(),
                _ => {}
            }
        }
        node = Running::start_in(folder).await;
        assert_eq!(ask(&node, all).await["rows"], expected, "{damage}");
        assert_eq!(status(&node, "counts").await["digest"], digest, "{damage}");
    }
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_cannot_be_carried_out_park_or_are_skipped() {
    let node = Running::start().await;
    let guard = "if (event.data.n === 3) return ['insert into log values (?, ?)', 1, 'twice'];";
    deploy(&node, source("parks", guard, 1, "")).await;
    deploy(&node, source("skips", guard, 1, "export const onError = 'skip';")).await;
    for version in 0..8 {
        node.append("a", version).await;
    }
    let skipped =
        json!({ "sql": "select n from counts", "projections": ["skips"], "consistency": "linearizable" });
    assert_eq!(node.post("/api/v1/sql", skipped.to_string()).await.1["rows"], json!([[7]]));
    let (_, letters) = node.get("/api/v1/projections/skips/dead-letters").await;
    assert_eq!((&letters["total"], &letters["deadLetters"][0]["position"]), (&1.into(), &4.into()));
    assert!(letters["deadLetters"][0]["message"].as_str().unwrap().contains("UNIQUE"), "{letters}");
    eventually("it is parked", async || status(&node, "parks").await["status"] == "error").await;
    let parked = status(&node, "parks").await;
    assert_eq!((&parked["checkpoint"], &parked["error"]["position"]), (&3.into(), &4.into()), "{parked}");
    let so_far = json!({ "sql": "select n from counts", "projections": ["parks"] });
    assert_eq!(node.post("/api/v1/sql", so_far.to_string()).await.1["rows"], json!([[3]]));
    // A repaired source is folded into tables of its own, and takes over.
    deploy(&node, source("parks", "", 1, "")).await;
    eventually("the repaired one answers", async || {
        node.post("/api/v1/sql", so_far.to_string()).await.1["rows"] == json!([[8]])
    })
    .await;
    let files = || fs::read_dir(node.folder.path().join("node/sql")).unwrap().count();
    assert!(files() > 0);
    for name in ["parks", "skips"] {
        let url = node.url(&format!("/api/v1/projections/{name}"));
        assert_eq!(node.http.delete(url).send().await.unwrap().status().as_u16(), 204);
    }
    eventually("their files are gone", async || files() == 0).await;
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_without_legal_tables_is_refused() {
    let node = Running::start().await;
    let with = |tables: &str, more: &str| {
        let source = format!(
            "export const name = 'p'; export const kind = 'sql'; export const events = ['*']; {tables}
             export const handler = () => []; {more}"
        );
        json!({ "source": source }).to_string()
    };
    for (tables, more, told) in [
        ("", "", "`tables` is not exported"),
        ("export const tables = 'create tabel a (b)';", "", "syntax error"),
        ("export const tables = 'attach database 1 as x';", "", "not authorized"),
        ("export const tables = '';", "export const partitionKey = '$.entityId';", "no `partitionKey`"),
    ] {
        let (status, refused) = node.post("/api/v1/projections", with(tables, more)).await;
        assert_eq!((status.as_u16(), &refused["code"]), (400, &"projection_invalid".into()), "{refused}");
        assert!(refused["message"].as_str().unwrap().contains(told), "{told}: {refused}");
    }
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_returns_no_statements_is_told() {
    let node = Running::start().await;
    for (name, returned) in [("number", "7"), ("object", "[['select ?', {}]]"), ("lists", "[[1]]")] {
        let source = format!(
            "export const name = '{name}'; export const kind = 'sql'; export const events = ['*'];
             export const tables = ''; export const handler = () => ({returned});"
        );
        deploy(&node, json!({ "source": source }).to_string()).await;
    }
    node.append("a", 0).await;
    for (name, told) in
        [("number", "must return"), ("object", "which no column holds"), ("lists", "a statement must be")]
    {
        eventually("it is parked", async || status(&node, name).await["status"] == "error").await;
        let parked = status(&node, name).await;
        assert!(parked["error"]["message"].as_str().unwrap().contains(told), "{told}: {parked}");
    }
    node.node.stop().await;
}

fn files(node: &Running) -> usize {
    fs::read_dir(node.folder.path().join("node/sql")).unwrap().count()
}

async fn rebuilt(node: &Running, name: &str, body: &str, end: &str) -> Value {
    let path = format!("/api/v1/projections/{name}/rebuild");
    let (status, job) = node.post(&path, body.to_owned()).await;
    assert_eq!(status.as_u16(), 202, "{job}");
    eventually("the rebuild ends", async || node.get(&path).await.1["status"] == end).await;
    node.get(&path).await.1
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_rebuilt_compared_and_switched() {
    let node = Running::start().await;
    deploy(&node, source("counts", "", 1, "")).await;
    deploy(&node, source("twice", "", 2, "")).await;
    let (code, refused) =
        node.post("/api/v1/projections/counts/rebuild", r#"{"partition":"a"}"#.to_owned()).await;
    assert_eq!((code.as_u16(), &refused["code"]), (400, &"invalid_request".into()), "{refused}");
    for version in 0..10 {
        node.append("a", version).await;
    }
    let both = "select counts.counts.n, twice.counts.n from counts.counts, twice.counts";
    assert_eq!(ask(&node, both).await["rows"], json!([[10, 20]]));
    let before = status(&node, "counts").await;
    rebuilt(&node, "counts", "", "completed").await;
    assert_eq!(ask(&node, both).await["rows"], json!([[10, 20]]));
    let after = status(&node, "counts").await;
    assert!(after["deployed"].as_u64() > before["deployed"].as_u64(), "{after}");
    assert_eq!(after["digest"], before["digest"]);
    let dry = rebuilt(&node, "counts", r#"{"dry_run":true}"#, "dry_run_ok").await;
    assert_eq!((&dry["result"]["equal"], &dry["result"]["leftDigest"]), (&true.into(), &after["digest"]));
    let (_, diff) = node.get("/api/v1/projections/counts/diff?with=twice").await;
    assert_eq!((&diff["equal"], &diff["position"]), (&false.into(), &10.into()), "{diff}");
    let (_, held) = node.post("/api/v1/projections/counts/digest", "").await;
    assert_eq!((&held["position"], &held["digest"]), (&10.into(), &after["digest"]), "{held}");
    let (status, switched) = node.post("/api/v1/projections/counts/switch", r#"{"with":"twice"}"#).await;
    assert_eq!(status.as_u16(), 200, "{switched}");
    assert_eq!(ask(&node, both).await["rows"], json!([[20, 10]]));
    let Running { node: stopped, folder, .. } = node;
    stopped.stop().await;
    let node = Running::start_in(folder).await;
    assert_eq!(ask(&node, both).await["rows"], json!([[20, 10]]));
    for name in ["counts", "twice"] {
        let url = node.url(&format!("/api/v1/projections/{name}"));
        assert_eq!(node.http.delete(url).send().await.unwrap().status().as_u16(), 204);
    }
    eventually("no file of any generation is left", async || files(&node) == 0).await;
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_asks_for_states_is_told_that_there_are_tables() {
    let node = Running::start().await;
    deploy(&node, source("counts", "", 1, "")).await;
    node.append("a", 0).await;
    ask(&node, "select 1").await;
    for path in ["", "/partitions", "/past?position=1", "/past/partitions?position=1", "/subscribe"] {
        let (status, refused) = node.get(&format!("/api/v1/projections/counts{path}")).await;
        assert_eq!(
            (status.as_u16(), &refused["code"]),
            (400, &"invalid_request".into()),
            "{path}: {refused}"
        );
        assert!(refused["message"].as_str().unwrap().contains("tables"), "{path}: {refused}");
    }
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_sql_cannot_tell_apart_is_refused() {
    let node = Running::start().await;
    for name in ["main", "Temp"] {
        let (status, refused) = node.post("/api/v1/projections", source(name, "", 1, "")).await;
        assert_eq!((status.as_u16(), &refused["code"]), (400, &"projection_invalid".into()), "{refused}");
    }
    deploy(&node, source("counts", "", 1, "")).await;
    deploy(&node, source("Counts", "", 2, "")).await;
    node.append("a", 0).await;
    let n = |names: Value| json!({ "sql": "select n from counts", "projections": names, "minPosition": 1 });
    let (status, refused) = node.post("/api/v1/sql", n(Value::Null).to_string()).await;
    assert_eq!((status.as_u16(), &refused["code"]), (400, &"invalid_request".into()), "{refused}");
    for (name, expected) in [("counts", 1), ("Counts", 2)] {
        let (_, answer) = node.post("/api/v1/sql", n(json!([name])).to_string()).await;
        assert_eq!(answer["rows"], json!([[expected]]), "{answer}");
    }
    node.node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_projection_is_given_tables_and_loses_them() {
    let node = Running::start().await;
    let states = "export const name = 'counts'; export const events = ['*']; export const initialState = () => ({ n: 0 });
                  export const handler = (state) => { state.n += 1; };";
    let states = json!({ "source": states }).to_string();
    deploy(&node, states.clone()).await;
    node.append("a", 0).await;
    let view = "/api/v1/projections/counts?consistency=linearizable";
    assert_eq!(node.get(view).await.0.as_u16(), 200);
    let (status, none) =
        node.post("/api/v1/sql", json!({ "sql": "select 1", "projections": ["counts"] }).to_string()).await;
    assert_eq!((status.as_u16(), &none["code"]), (400, &"invalid_request".into()), "{none}");
    deploy(&node, source("counts", "", 1, "")).await;
    eventually("its tables answer", async || node.get(view).await.0.as_u16() == 400).await;
    assert_eq!(ask(&node, "select n from counts").await["rows"], json!([[1]]));
    deploy(&node, states).await;
    eventually("its states answer again", async || node.get(view).await.0.as_u16() == 200).await;
    eventually("its tables are gone", async || files(&node) == 0).await;
    node.node.stop().await;
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (from, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        match from.is_dir() {
            true => copy(&from, &to),
            false => drop(fs::copy(&from, &to).unwrap()),
        }
    }
}

/// A node may end between a commit of tables and the one of the checkpoint among the views, and lose the last of either.
#[tokio::test(flavor = "multi_thread")]
async fn tables_and_views_of_two_moments_are_set_right() {
    let node = Running::start().await;
    let guard = "if (event.data.n === 3 || event.data.n === 7) throw new Error('no');";
    deploy(&node, source("counts", "", 1, "")).await;
    deploy(&node, source("skips", guard, 1, "export const onError = 'skip';")).await;
    for version in 0..5 {
        node.append("a", version).await;
    }
    let all = "select counts.counts.n, skips.counts.n, (select count(*) from skips.log) from counts.counts, skips.counts";
    assert_eq!(ask(&node, all).await["rows"], json!([[5, 4, 4]]));
    let Running { node: stopped, folder, .. } = node;
    stopped.stop().await;
    let data = folder.path().join("node");
    for part in ["sql", "state"] {
        copy(&data.join(part), &folder.path().join(part));
    }
    let mut node = Running::start_in(folder).await;
    for version in 5..10 {
        node.append("a", version).await;
    }
    let expected = json!([[10, 8, 8]]);
    assert_eq!(ask(&node, all).await["rows"], expected);
    let digests =
        (status(&node, "counts").await["digest"].clone(), status(&node, "skips").await["digest"].clone());
    for older in ["sql", "state"] {
        let Running { node: stopped, folder, .. } = node;
        stopped.stop().await;
        fs::remove_dir_all(data.join(older)).unwrap();
        copy(&folder.path().join(older), &data.join(older));
        node = Running::start_in(folder).await;
        assert_eq!(ask(&node, all).await["rows"], expected, "{older}");
        let (counts, skips) = (status(&node, "counts").await, status(&node, "skips").await);
        assert_eq!((&counts["digest"], &skips["digest"]), (&digests.0, &digests.1), "{older}");
        let (_, letters) = node.get("/api/v1/projections/skips/dead-letters").await;
        assert_eq!(
            (&letters["total"], letters["deadLetters"].as_array().unwrap().len()),
            (&2.into(), 2),
            "{older}"
        );
    }
    node.node.stop().await;
}

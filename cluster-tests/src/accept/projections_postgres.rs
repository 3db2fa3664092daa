//! Projections into a PostgreSQL, while nodes and PostgreSQL are killed: each event is carried out once.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use futures::FutureExt as _;

use super::{Outcome, Recipe, ticks::Ticks};
use crate::{
    Cluster, ClusterSpec, PATIENCE, eventually, postgres::Postgres, projections, report::Report, weir,
};

/// The recipe.
pub const RECIPE: Recipe = Recipe {
    name: "projections/postgres",
    summary: "tables in a PostgreSQL, rebuilt, while nodes and PostgreSQL are killed: each event there once, dead letters equal",
    release: false,
    run: |flags, report| story(report, flags.events).boxed(),
};

/// What the nodes log while PostgreSQL is away.
const EXPECTED: &str = "sink `reporting` is not available";
/// One in so many events cannot be carried out: of a million fewer than a projection may skip.
const BAD_EVERY: u64 = 1_009;
/// Rounds of kills.
const ROUNDS: u64 = 4;

/// Carries each event out into a table where a second time would be seen, and counts.
const COUNTED: &str = "export const name = 'counted'; export const kind = 'sql'; export const sink = 'reporting';
export const events = ['tick.*'];
export const tables = `create table ticks (position bigint not null, stream text not null);
    create table streams (stream text primary key, n bigint not null)`;
export function handler(event) {
  return [
    ['insert into ticks values ($1, $2)', event.position, event.entityId],
    ['insert into streams values ($1, 1) on conflict (stream) do update set n = streams.n + 1', event.entityId],
  ];
}";

fn checked() -> String {
    format!(
        "export const name = 'checked'; export const kind = 'sql'; export const sink = 'reporting';
export const events = ['tick.*']; export const onError = 'skip';
export const tables = 'create table ticks (position bigint primary key, good int check (good = 1))';
export function handler(event) {{
  return ['insert into ticks values ($1, $2)', event.position, event.position % {BAD_EVERY} === 0 ? 0 : 1];
}}"
    )
}

/// Appends at least `events` under kills, and counts them in PostgreSQL.
///
/// # Errors
/// Naming what is there twice or not at all.
pub async fn story(report: &mut Report, events: u64) -> Result<Outcome> {
    let mut postgres = Postgres::start(Ipv4Addr::LOCALHOST).await?;
    let sinks = ("WEIR_SINKS", format!("reporting={}", postgres.url()));
    let mut cluster = Cluster::start_in(ClusterSpec { nodes: 3, nats: false }, &[sinks]).await?;
    cluster.node(1).edge.deploy(COUNTED).await?;
    cluster.node(2).edge.deploy(&checked()).await?;
    let ticks = Ticks::begin(&cluster, events)?;
    let total = ticks.total;
    for round in 1..=ROUNDS {
        ticks.reach(round, ROUNDS + 1).await?;
        faults(&mut cluster, &mut postgres, round, report).await?;
    }
    ticks.end().await?;
    cluster.all_ready().await?;
    let last = cluster.settled().await?;
    report.phase(&format!("{total} events are appended, the log ends at {last}"));
    for name in ["counted", "checked"] {
        ends_rebuilds(&cluster, name).await?;
        projections::folded(&cluster, name, last).await?;
        weir::run(&cluster.edges(), &["projection", "verify", name]).await?;
    }
    counts(&cluster, &postgres, total, last, report).await?;
    report.note("events", total);
    report.note("nodes", cluster.nodes.len());
    cluster.finish(&[EXPECTED])?;
    postgres.kill()?;
    Ok(Outcome::Holds)
}

/// Kills of the leader and of another node, of PostgreSQL each time, and a rebuild amid them.
async fn faults(
    cluster: &mut Cluster,
    postgres: &mut Postgres,
    round: u64,
    report: &mut Report,
) -> Result<()> {
    let leader = cluster.leader().await?;
    let victim = if round.is_multiple_of(2) { leader % 3 + 1 } else { leader };
    cluster.node_mut(victim).kill()?;
    report.phase(&format!("kill -9 of node {victim}, the leader is {leader}"));
    postgres.kill()?;
    cluster.start_node(victim)?;
    cluster.all_ready().await?;
    postgres.restart().await?;
    report.phase("kill -9 of PostgreSQL");
    if round == 2 {
        weir::run(&cluster.edges(), &["projection", "rebuild", "counted"]).await?;
        report.phase("a rebuild of `counted` begins");
    }
    Ok(())
}

async fn ends_rebuilds(cluster: &Cluster, name: &str) -> Result<()> {
    for node in &cluster.nodes {
        eventually(&format!("node {} has ended its rebuilds", node.id), PATIENCE * 5, || async {
            let status = node.edge.projection(name).await?;
            ensure!(status.rebuild.is_none() && status.lag == 0, "{status:?}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// Each event is there once, and what cannot be is a dead letter on every node.
async fn counts(
    cluster: &Cluster,
    postgres: &Postgres,
    total: u64,
    last: u64,
    report: &mut Report,
) -> Result<()> {
    let (total, bad) = (i64::try_from(total)?, last / BAD_EVERY);
    let schemas = "select count(*) from pg_namespace where nspname like 'counted%'";
    eventually("the schema before the rebuild is gone", PATIENCE, || async {
        let schemas = postgres.number(schemas).await?;
        ensure!(schemas == 1, "there are {schemas} schemas");
        Ok(())
    })
    .await?;
    for (what, sql, expected) in [
        ("events", "select count(*) from counted.ticks", total),
        ("positions", "select count(distinct position) from counted.ticks", total),
        ("by stream", "select sum(n)::bigint from counted.streams", total),
        ("checked", "select count(*) from checked.ticks", total - i64::try_from(bad)?),
    ] {
        let found = postgres.number(sql).await?;
        ensure!(found == expected, "{what}: PostgreSQL has {found} of {expected}");
    }
    for node in &cluster.nodes {
        let letters = node.edge.projection("checked").await?.dead_letters;
        ensure!(letters == bad, "node {} has {letters} dead letters of {bad}", node.id);
    }
    report.note("dead_letters", bad);
    Ok(())
}

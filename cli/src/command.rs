use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::{
    bench::BenchCommand,
    cluster::ClusterCommand,
    error::CliError,
    exit,
    global::GlobalArgs,
    group::GroupCommand,
    import::ImportArgs,
    kv::KvCommand,
    log::LogArgs,
    openapi::OpenApiArgs,
    outbox::OutboxCommand,
    output::Output,
    projection::ProjectionCommand,
    rules::{RulesCommand, SchemaCommand},
    sandbox::Sandbox,
    snapshot::SnapshotCommand,
    sql::SqlArgs,
    stream::StreamCommand,
    transact::TransactArgs,
    upcaster::UpcasterCommand,
};

/// The nouns of the command line. The `weir` binary flattens them beside its own.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Append to streams, read and watch them
    Stream(Noun<StreamCommand>),
    /// Keep states of streams, and read from them on
    Snapshot(Noun<SnapshotCommand>),
    /// Read events of all streams, by position
    Log(Alone<LogArgs>),
    /// Append to several streams, all of it or nothing
    Transact(Alone<TransactArgs>),
    /// Import a CSV file as events, exactly once
    Import(Box<Alone<ImportArgs>>),
    /// Keep keys and values in buckets
    Kv(Noun<KvCommand>),
    /// Let consumers take events, until each is settled
    Group(Noun<GroupCommand>),
    /// Deploy and read projections
    Projection(Noun<ProjectionCommand>),
    /// Ask about the tables of projections, in SQL
    Sql(Alone<SqlArgs>),
    /// Keep events to rules before they are appended
    Rules(Noun<RulesCommand>),
    /// Register JSON Schemas of events
    Schema(Noun<SchemaCommand>),
    /// Lead events of older schema versions to newer ones, where they are read
    Upcaster(Noun<UpcasterCommand>),
    /// Look at the cluster and change its members
    Cluster(Noun<ClusterCommand>),
    /// Look at what is published to JetStream
    Outbox(Noun<OutboxCommand>),
    /// Print what the HTTP server can be asked for, as an OpenAPI document
    #[command(name = "openapi")]
    OpenApi(Alone<OpenApiArgs>),
    /// Measure appends and reads
    Bench(Noun<BenchCommand>),
}

/// A noun with its verbs.
#[derive(Debug, Args)]
pub struct Noun<T: Subcommand> {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    verb: T,
}

/// A noun that is its own verb.
#[derive(Debug, Args)]
pub struct Alone<T: Args> {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(flatten)]
    args: T,
}

impl Command {
    /// Carries the command out, prints its data and errors, and gives the exit
    /// code of [`exit`]. Without a sandbox no projection is tried out.
    pub async fn run(self, sandbox: Option<&dyn Sandbox>) -> ExitCode {
        let output = Output::new(self.global().json);
        match dispatch(&self, sandbox, &output).await {
            Ok(()) => ExitCode::from(exit::OK),
            Err(error) if error.is_broken_pipe() => ExitCode::from(exit::OK),
            Err(error) => {
                output.error(&error);
                ExitCode::from(error.exit_code())
            }
        }
    }

    fn global(&self) -> &GlobalArgs {
        match self {
            Self::Stream(noun) => &noun.global,
            Self::Snapshot(noun) => &noun.global,
            Self::Log(alone) => &alone.global,
            Self::Transact(alone) => &alone.global,
            Self::Import(alone) => &alone.global,
            Self::Kv(noun) => &noun.global,
            Self::Group(noun) => &noun.global,
            Self::Projection(noun) => &noun.global,
            Self::Sql(alone) => &alone.global,
            Self::Rules(noun) => &noun.global,
            Self::Schema(noun) => &noun.global,
            Self::Upcaster(noun) => &noun.global,
            Self::Cluster(noun) => &noun.global,
            Self::Outbox(noun) => &noun.global,
            Self::OpenApi(alone) => &alone.global,
            Self::Bench(noun) => &noun.global,
        }
    }
}

async fn dispatch(command: &Command, sandbox: Option<&dyn Sandbox>, output: &Output) -> Result<(), CliError> {
    let client = command.global().client()?;
    match command {
        Command::Stream(noun) => crate::stream::run(&noun.verb, &client, output).await,
        Command::Snapshot(noun) => crate::snapshot::run(&noun.verb, &client, output).await,
        Command::Log(alone) => crate::log::run(&alone.args, &client, output).await,
        Command::Transact(alone) => crate::transact::run(&alone.args, &client, output).await,
        Command::Import(alone) => crate::import::run(&alone.args, &client, output).await,
        Command::Kv(noun) => crate::kv::run(&noun.verb, &client, output).await,
        Command::Group(noun) => crate::group::run(&noun.verb, &client, output).await,
        Command::Projection(noun) => crate::projection::run(&noun.verb, &client, sandbox, output).await,
        Command::Sql(alone) => crate::sql::run(&alone.args, &client, output).await,
        Command::Rules(noun) => crate::rules::run(&noun.verb, &client, output).await,
        Command::Schema(noun) => crate::rules::run_schema(&noun.verb, &client, output).await,
        Command::Upcaster(noun) => crate::upcaster::run(&noun.verb, &client, output).await,
        Command::Cluster(noun) => crate::cluster::run(&noun.verb, &client, output).await,
        Command::Outbox(noun) => crate::outbox::run(&noun.verb, &client, output).await,
        Command::OpenApi(alone) => crate::openapi::run(&alone.args, output),
        Command::Bench(noun) => crate::bench::run(&noun.verb, &client, output).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser};

    use super::*;

    #[derive(Debug, Parser)]
    struct Weir {
        #[command(subcommand)]
        command: Command,
    }

    #[test]
    fn the_command_line_is_consistent() {
        Weir::command().debug_assert();
    }

    #[test]
    fn command_lines_are_understood() {
        for line in [
            "weir stream append o-1 --type order --name order.placed --data {} --expected-version none --json",
            "weir stream append o-1 --type order --name n --data @f.json --expected-version 3 --idempotency-key k",
            "weir stream append o-1 --type order --name n --data {} --expected-version exists --tag a --tag b",
            "weir stream append o-1 --type order --name n --data {} --source webhook --validate-only",
            "weir stream append o-1 --type order --events e.ndjson --expected-version 3 --idempotency-key k",
            "weir stream append o-1 --type order --events - --validate-only",
            "weir transact @t.json --validate-only",
            "weir log --backward --limit 10 --name order.* --type order --tag customer:42 --json",
            "weir stream read o-1 --from 3 --limit 10 --backward --server http://a:1,http://b:2",
            "weir stream watch o-1 --from now --json",
            "weir stream watch entity:order.* --from last:10 --limit 3",
            "weir stream ls --type order",
            "weir import --csv f.csv --entity-id case --entity-type order --event-name activity --occurred-at t",
            "weir import --csv f.csv --mapping m.toml --json --in-flight 8 --unary",
            "weir kv create b --ttl 168h --history 5",
            "weir kv put b user:1 {} --create --ttl 30s",
            "weir kv put b k @f --revision 7",
            "weir kv put b k @f --if-exists --ttl 30s",
            "weir kv ls b --filter order.*",
            "weir kv rm b k --purge",
            "weir kv history b k --from-revision 3",
            "weir group create mail entity:order.* --after 0 --max-in-flight 5 --ack-deadline 10s",
            "weir group dead-letters mail --after 7 --limit 3",
            "weir group replay mail 3 4",
            "weir group replay mail --all",
            "weir stream watch --group mail --limit 3",
            "weir projection deploy p.js",
            "weir projection get p --partition k --min-position 7",
            "weir projection get p --at-position 7 --partition k",
            "weir projection get p --as-of 2026-01-01T00:00:00Z --all",
            "weir projection test p.js --given e.ndjson --expect s.json --json",
            "weir projection new p --dir d",
            "weir schema register order.placed s.json --version 2",
            "weir schema rm order.placed --version 2",
            "weir upcaster set order.placed up.js --from 1 --to 3",
            "weir upcaster test order.placed {} --from 1",
            "weir upcaster rm order.placed --from 1",
            "weir stream read o-1 --raw",
            "weir stream state o-1 --at 2026-01-02T03:04:05Z",
            "weir snapshot create o-1 {} --version 7",
            "weir snapshot get o-1 --before 6",
            "weir snapshot read o-1 --as-of-version 6",
            "weir stream read o-1 --as-of 2026-01-02T03:04:05Z --at 2026-01-01T00:00:00Z --as-of-version 7",
            "weir log --raw",
            "weir log --min-position 7",
            "weir sql select --param 7 --param ada --projection p --limit 5 --json",
            "weir rules set rules.json --type account",
            "weir rules get",
            "weir rules set --type account --invariant account.js",
            "weir cluster init --member 1,a:9124,http://a:9123 --member 2,b:9124,http://b:9123",
            "weir cluster add 4 d:9124 http://d:9123 --learner",
            "weir cluster status --wait 10s",
            "weir cluster transfer 2",
            "weir outbox rebuild --yes",
            "weir openapi",
            "weir bench subscribe --in-flight 1,1000 --rate 20",
            "weir bench view --by event --rate 1000 --in-flight 64",
            "weir bench append --invariant",
            "weir bench append --in-flight 1,64,512 --duration 5s --session",
            "weir bench read --in-flight 8 --duration 5s",
        ] {
            Weir::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
    }

    #[test]
    fn command_lines_that_lack_or_contradict_something_are_refused() {
        for line in [
            "weir stream append o-1 --type order --name n",
            "weir stream append o-1 --type order --data {}",
            "weir stream append o-1 --type order --name n --data {} --source moon",
            "weir stream append o-1 --type order --events e.ndjson --name n",
            "weir stream append o-1 --type order --events e.ndjson --schema-version 1",
            "weir stream append o-1 --type order --events e.ndjson --source api",
            "weir log --local --min-position 7",
            "weir kv put b k v --create --if-exists",
            "weir kv put b k v --revision 7 --if-exists",
            "weir snapshot read o-1 --at 2026-01-01T00:00:00Z",
            "weir stream append o-1 --type t --name n --data {} --expected-version -2",
            "weir stream append o-1 --type t --name n --data {} --expected-version latest",
            "weir import --csv f.csv",
            "weir projection test p.js",
            "weir projection get p --at-position 7 --as-of 2026-01-01T00:00:00Z",
            "weir group replay mail",
            "weir stream watch",
            "weir bench append --session --unary",
            "weir cluster init --member 1,a:9124",
            "weir cluster status --wait soon",
        ] {
            let error = Weir::try_parse_from(line.split(' ')).expect_err(line);
            assert_eq!(error.exit_code(), i32::from(exit::USAGE), "{line}");
        }
    }
}

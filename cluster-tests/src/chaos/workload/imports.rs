//! `weir import` as a real process, killed at any moment and run again until
//! it is through: every row is in its stream once, in the order of the file.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use serde_json::Value;
use tokio::{process::Command, sync::Mutex, time::timeout};
use weir_check::history::{Call, Expected, Pending, Seen};

use super::{
    Context, Workload,
    caller::{Caller, Look, mark_of},
};
use crate::weir;

/// Its name.
const NAME: &str = "imports";
/// Between two imports.
const PACE: Duration = Duration::from_millis(1_500);
/// How long one run of the command may take before it is killed anyway.
const RUN: Duration = Duration::from_secs(20);
/// Runs of one import at the end.
const LAST_RUNS: usize = 10;
/// `weir`'s exit code for a conflict.
const CONFLICT: i32 = 4;

/// Imports, killed and resumed.
#[derive(Clone, Default)]
pub struct Imports {
    /// The import that was under way when the run ended.
    left: Arc<Mutex<Option<Job>>>,
}

/// One file on its way in.
struct Job {
    file: PathBuf,
    options: Vec<String>,
    /// The streams with the rows that belong there.
    streams: Vec<(String, Vec<Row>)>,
}

/// One row: its mark, and its place in the history.
struct Row {
    mark: String,
    pending: Pending,
}

#[async_trait]
impl Workload for Imports {
    fn name(&self) -> &'static str {
        NAME
    }

    async fn run(&self, context: &Context) -> Result<()> {
        let mut caller = Caller::new(context, NAME);
        let mut number = 0;
        while caller.pace(PACE).await {
            number += 1;
            let job = Job::write(&mut caller, number)?;
            if let Some(left) = job.through_kills(&mut caller).await? {
                *self.left.lock().await = Some(left);
            }
        }
        caller.end()
    }

    async fn settle(&self, context: &Context) -> Result<()> {
        let mut caller = Caller::new(context, NAME);
        if let Some(mut job) = self.left.lock().await.take() {
            for _ in 0..LAST_RUNS {
                match job.run(&mut caller, None).await? {
                    true => {
                        job.compare(&mut caller).await;
                        return caller.end();
                    }
                    false => crate::pause().await,
                }
            }
            bail!("import {} does not end on a healed cluster", job.file.display());
        }
        caller.end()
    }

    fn coverage(&self) -> &'static [&'static str] {
        &["imports.rows", "imports.through", "imports.killed", "imports.resumed"]
    }
}

impl Job {
    /// Makes a file, and notes each of its rows as an append that is about to be sent.
    fn write(caller: &mut Caller, number: u64) -> Result<Self> {
        let folder = caller.context.folder.join(NAME);
        std::fs::create_dir_all(&folder).context("cannot make the folder of imports")?;
        let file = folder.join(format!("{number}.csv"));
        let mut csv = csv::Writer::from_path(&file)?;
        csv.write_record(["entity", "activity", "time", "op", "n"])?;
        let mut streams: Vec<(String, Vec<Row>)> =
            (0..caller.rng.within(4..16)).map(|at| (format!("{NAME}-{number}-{at}"), Vec::new())).collect();
        for line in 0..caller.rng.within(60..400) {
            let at = usize::try_from(caller.rng.within(0..streams.len() as u64)).unwrap_or(0);
            let (mark, (stream, rows)) = (caller.mark(), &mut streams[at]);
            let activity = ["imports.begun", "imports.größer", "imports.\"done\", really"][rows.len() % 3];
            let time = format!("2024-03-{:02}T08:{:02}:00Z", 1 + line % 28, line % 60);
            csv.write_record([stream.as_str(), activity, &time, &mark, &line.to_string()])?;
            let call = Call::Append {
                stream: stream.clone(),
                expected: Expected::Exact(rows.len() as u64),
                key: None,
                marks: vec![mark.clone()],
                node: 0,
            };
            // Each row is a client of its own: all of them are under way at once.
            let pending = caller.context.recorder.invoke(caller.context.client(), call);
            rows.push(Row { mark, pending });
        }
        csv.flush()?;
        Ok(Self { file, options: options(caller), streams })
    }

    /// Runs it again and again, killed at random, until it is through. What is
    /// left of it when the run is over is given back.
    async fn through_kills(mut self, caller: &mut Caller) -> Result<Option<Self>> {
        for again in 0.. {
            if caller.context.stop.is_told() {
                return Ok(Some(self));
            }
            // Every other run is left alone, so that it gets through at last.
            let kill_after = match again % 2 == 0 || caller.rng.chance(30) {
                true => Some(Duration::from_millis(caller.rng.within(20..700))),
                false => None,
            };
            if again > 0 {
                caller.count("resumed");
            }
            if self.run(caller, kill_after).await? {
                self.compare(caller).await;
                return Ok(None);
            }
            caller.pace(Duration::from_millis(200)).await;
        }
        Ok(Some(self))
    }

    /// One run of the command. Whether it says that everything is in.
    async fn run(&mut self, caller: &mut Caller, kill_after: Option<Duration>) -> Result<bool> {
        let mut child = self.command(caller)?.spawn().context("cannot start `weir import`")?;
        let limit = kill_after.unwrap_or(RUN);
        let stop = caller.context.stop.clone();
        let ended = tokio::select! {
            ended = timeout(limit, child.wait()) => ended.ok().transpose()?,
            // A run that is over is not waited for; one that settles has no kill.
            () = stop.told(), if kill_after.is_some() => None,
        };
        let Some(status) = ended else {
            child.kill().await.context("cannot kill `weir import`")?;
            caller.count("killed");
            return Ok(false);
        };
        let out = child.wait_with_output().await.context("cannot read what `weir import` said")?;
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        if status.code() == Some(CONFLICT) || said.contains("panicked") {
            caller.wrong(format!("import {} ended with {status}: {said}", self.file.display()));
        }
        caller.count(&format!("exit.{}", status.code().unwrap_or(-1)));
        if !status.success() {
            return Ok(status.code() == Some(CONFLICT));
        }
        self.check_report(&String::from_utf8_lossy(&out.stdout), caller);
        Ok(true)
    }

    fn command(&self, caller: &Caller) -> Result<Command> {
        let edges: Vec<_> = caller.context.nodes.all().into_iter().map(|(_, edge)| edge).collect();
        let file = self.file.to_str().context("the file's path is not UTF-8")?;
        let mut args = vec!["import", "--csv", file, "--entity-id", "entity", "--entity-type", NAME];
        args.extend(["--event-name", "activity", "--occurred-at", "time"]);
        args.extend(self.options.iter().map(String::as_str));
        weir::command(&edges, &args)
    }

    /// The report counts every row, and no conflict.
    fn check_report(&self, printed: &str, caller: &mut Caller) {
        let report: Value = serde_json::from_str(printed.trim()).unwrap_or_default();
        let rows = self.rows() as u64;
        let settled =
            report["appended"].as_u64().zip(report["alreadyThere"].as_u64()).map(|(new, old)| new + old);
        if settled != Some(rows) || report["conflicts"] != 0 {
            caller.wrong(format!(
                "import of {rows} rows of {} ended well and says {printed}",
                self.file.display()
            ));
        }
    }

    fn rows(&self) -> usize {
        self.streams.iter().map(|(_, rows)| rows.len()).sum()
    }

    /// Row k is version k, whatever was killed; so each row's append is known.
    async fn compare(self, caller: &mut Caller) {
        caller.count("through");
        let known = self.rows();
        for (stream, rows) in self.streams {
            let look = Look { limit: 1_000, ..Look::at(&stream) };
            let mut page = None;
            for _ in 0..10 {
                let (node, edge) = caller.node();
                page = caller.read_at(node, &edge, &look).await;
                if page.is_some() {
                    break;
                }
                crate::pause().await;
            }
            let Some(page) = page else {
                // Without positions nobody can say more than that all outcomes are unknown.
                caller.count("not_compared");
                continue;
            };
            let held: Vec<String> = page.events.iter().map(mark_of).collect();
            if !held.iter().eq(rows.iter().map(|row| &row.mark)) {
                let right = held.iter().zip(&rows).take_while(|(held, row)| **held == row.mark).count();
                let (is, due) = (held.get(right), rows.get(right).map(|row| &row.mark));
                caller.wrong(format!(
                    "`{stream}` holds {} events after an import of {} rows, and at version {} {is:?} in place of {due:?}",
                    held.len(),
                    rows.len(),
                    right + 1
                ));
                continue;
            }
            for (row, event) in rows.into_iter().zip(&page.events) {
                let (first_version, last_version) = (event.version, event.version);
                let first_position = event.position;
                row.pending.ok(Seen::Appended {
                    first_version,
                    last_version,
                    first_position,
                    repeated: false,
                });
            }
        }
        caller.context.counters.add(&format!("{NAME}.rows"), known as u64);
    }
}

/// How the import sends its rows: the same at every run of it, or its keys would differ.
fn options(caller: &mut Caller) -> Vec<String> {
    let in_flight = caller.rng.within(1..40).to_string();
    let batch = if caller.rng.chance(30) { caller.rng.within(2..9) } else { 1 }.to_string();
    let mut options = vec!["--in-flight".to_owned(), in_flight, "--batch".to_owned(), batch];
    if caller.rng.chance(30) {
        options.push("--unary".to_owned());
    }
    // Some give up before a leader is found: what they sent last has an unknown outcome.
    options.extend(["--patience".to_owned(), format!("{}ms", caller.rng.within(1_000..6_000))]);
    options
}

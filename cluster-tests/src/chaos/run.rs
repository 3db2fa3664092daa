//! One run: cluster up, clients to work, faults by plan, everything healed,
//! what is there read and judged.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value, json};
use tokio::{task::JoinSet, time::timeout};
use weir_check::{
    FinalState, History, Recorder,
    history::{Header, Topology},
};

use super::{
    canary::Canary,
    counters::Counters,
    fault::{self, Kind},
    gather::gather,
    journal::Journal,
    node_logs,
    observer::observe,
    options::Options,
    plan::{Choice, Plan},
    rig::{Rig, RigSpec, disk},
    silent_cuts::silent_cuts,
    stop::{Stop, stop},
    streams,
    timeline::carry_out,
    verdict::{Judgement, Tally},
    voters,
    workload::{self, Context, Workload},
};
use crate::binary::workspace;

/// How long clients may take to end when they are told.
const CLIENTS_END_WITHIN: Duration = Duration::from_secs(60);
/// How long the last reads of one workload may take.
const SETTLE_WITHIN: Duration = Duration::from_secs(360);

/// What a run ended with.
#[derive(Debug)]
pub struct Ended {
    /// `holds`, `broken` or `hollow`.
    pub word: &'static str,
    /// The line for a machine.
    pub line: Map<String, Value>,
    /// The plan that was carried out.
    pub plan: Plan,
    /// Its folder.
    pub folder: PathBuf,
    /// What broke: the names of checkers, or `wrong`.
    pub broken: Vec<String>,
}

/// Runs once.
///
/// # Errors
/// When the machine does not do what the harness needs: no verdict on the product.
pub async fn run(options: &Options) -> Result<Ended> {
    let folder = make_folder(options)?;
    let workloads = chosen_workloads(options)?;
    let names: Vec<&str> = workloads.iter().map(|workload| workload.name()).collect();
    let topology = Topology {
        kind: "processes".to_owned(),
        nodes: (1..=options.nodes).collect(),
        nats: u32::try_from(options.nats)?,
    };
    let mut header = Header::new(options.seed, topology, &names);
    header.replay = options.replay();
    let recorder = Recorder::create(&folder.join("history.jsonl"), &header)?;
    let journal = Journal::create(&folder.join("journal.jsonl"), recorder.clone())?;
    journal.say(&format!("seed {}, run folder {}", options.seed, folder.display()));
    let mut stage = Stage {
        folder,
        recorder,
        journal,
        counters: Counters::default(),
        wrong: Vec::new(),
        recover: options.recover,
    };
    let postgres = workloads.iter().any(|workload| workload.needs_postgres());
    let spec = RigSpec { nodes: options.nodes, nats: options.nats, postgres };
    let (data, logs) = (stage.folder.join("data"), stage.folder.join("logs"));
    let mut rig = Rig::start(spec, &data, &logs, stage.journal.clone()).await?;
    rig.means.missing.iter().for_each(|why| stage.journal.say(&format!("reduced: {why}")));
    let (kinds, plan) = draw(options, &rig)?;
    fs::write(stage.folder.join("plan.json"), serde_json::to_vec_pretty(&plan)?)?;
    let end = stage.play(&mut rig, options, &workloads, &kinds, &plan).await;
    rig.stop()?;
    drop(rig);
    stage.judge(options, &workloads, plan, end)
}

struct Stage {
    folder: PathBuf,
    recorder: Recorder,
    journal: Journal,
    counters: Counters,
    wrong: Vec<String>,
    recover: Duration,
}

impl Stage {
    /// The play itself. What is there at the end, or nothing if the cluster did not come back.
    async fn play(
        &mut self,
        rig: &mut Rig,
        options: &Options,
        workloads: &[Arc<dyn Workload>],
        kinds: &[Kind],
        plan: &Plan,
    ) -> Option<FinalState> {
        let (stopper, stop) = stop();
        let context = self.context(rig, options, stop.clone());
        for workload in workloads {
            if let Err(error) = workload.prepare(&context).await {
                self.wrong(&format!("workload {} cannot begin", workload.name()), &error);
            }
        }
        let mut clients = JoinSet::new();
        for workload in workloads {
            let (workload, context) = (workload.clone(), context.clone());
            clients.spawn(async move { (workload.name(), workload.run(&context).await) });
        }
        let observer = tokio::spawn(observe(rig.directory.clone(), self.recorder.clone(), stop));
        self.journal.say("clients and faults begin");
        let mut canary = Canary::new(self.recorder.clone());
        if let Err(error) = carry_out(rig, plan, kinds, &mut canary).await {
            self.wrong("the plan was not carried out", &error);
        }
        self.journal.say("all is healed");
        stopper.stop();
        self.end_clients(rig, clients).await;
        // It was told to stop; how it ended is of no interest.
        let _ = observer.await;
        let end = self.settle(rig, &context, workloads, &mut canary).await;
        // Only now: its last song is that of the healed cluster.
        let silent = canary.silent().iter();
        self.wrong.extend(silent.map(|last| format!("no append although all was calm; {last}")));
        end
    }

    fn context(&self, rig: &Rig, options: &Options, stop: Stop) -> Context {
        Context {
            nodes: rig.directory.clone(),
            recorder: self.recorder.clone(),
            nats: rig.nats.iter().map(super::rig::bus::Bus::url).collect(),
            postgres: rig.postgres.clone(),
            seed: options.seed,
            load: options.load,
            readers: options.readers,
            lull: rig.lull.clone(),
            stop,
            counters: self.counters.clone(),
            folder: self.folder.join("workloads"),
            clients: Arc::default(),
        }
    }

    async fn end_clients(&mut self, rig: &mut Rig, mut clients: JoinSet<(&'static str, Result<()>)>) {
        let deadline = tokio::time::Instant::now() + CLIENTS_END_WITHIN;
        while !clients.is_empty() {
            // Nodes that crashed late must be started again meanwhile, or clients wait in vain.
            if let Err(error) = rig.supervise().await {
                self.wrong("a process cannot be supervised", &error);
            }
            match timeout(Duration::from_millis(200), clients.join_next()).await {
                Ok(Some(Ok((_, Ok(()))))) => {}
                Ok(Some(Ok((name, Err(error))))) => self.wrong(&format!("workload {name}"), &error),
                Ok(Some(Err(error))) => self.wrong("a workload panicked", &error.into()),
                Ok(None) => return,
                Err(_) if tokio::time::Instant::now() > deadline => {
                    self.wrong.push("a workload did not end when it was told".to_owned());
                    return clients.abort_all();
                }
                Err(_) => {}
            }
        }
    }

    async fn settle(
        &mut self,
        rig: &mut Rig,
        context: &Context,
        workloads: &[Arc<dyn Workload>],
        canary: &mut Canary,
    ) -> Option<FinalState> {
        let begun = std::time::Instant::now();
        if let Err(error) = self.come_back(rig).await {
            self.wrong("the cluster does not come back", &error);
            return None;
        }
        self.journal.say(&format!("the cluster is back after {:.1} s", begun.elapsed().as_secs_f64()));
        canary.sing(rig).await;
        for workload in workloads {
            let settled = timeout(SETTLE_WITHIN, workload.settle(context)).await;
            let settled = settled.context("its last reads take too long").flatten();
            if let Err(error) = settled {
                self.wrong(&format!("workload {} cannot end", workload.name()), &error);
            }
        }
        self.journal.say("all clients are done");
        let last = match rig.settled(self.recover).await {
            Ok(last) => last,
            Err(error) => {
                self.wrong("the nodes do not agree", &error);
                return None;
            }
        };
        match gather(rig, last, self.recover).await {
            Ok(end) => {
                self.read_again(rig, &end).await;
                Some(end)
            }
            Err(error) => {
                self.wrong("the end cannot be read", &error);
                None
            }
        }
    }

    /// The log is one way to what a node holds, streams are another. And who the members are.
    async fn read_again(&mut self, rig: &Rig, end: &FinalState) {
        let begun = std::time::Instant::now();
        let differences = streams::differences(rig, end).await;
        self.journal.say(&format!("every stream was read again in {:.1} s", begun.elapsed().as_secs_f64()));
        self.wrong.extend(differences);
        self.wrong.extend(voters::differences(rig).await);
    }

    async fn come_back(&mut self, rig: &mut Rig) -> Result<()> {
        rig.nats_serves(self.recover).await?;
        rig.settled(self.recover).await.map(drop)
    }

    fn judge(
        mut self,
        options: &Options,
        workloads: &[Arc<dyn Workload>],
        plan: Plan,
        end: Option<FinalState>,
    ) -> Result<Ended> {
        self.journal.say("judging");
        self.recorder.flush()?;
        if let Some(end) = &end {
            end.save(&self.folder.join("end.json"))?;
        }
        self.wrong.extend(self.journal.unexplained());
        let history = History::load(&self.folder.join("history.jsonl"))?;
        self.wrong.extend(silent_cuts(&history, &self.folder.join("logs"))?);
        let logs = node_logs::read(&self.folder.join("logs"))?;
        let whole = options.workloads.is_empty() && options.faults.is_empty() && options.only.is_none();
        let tally = Tally {
            seconds: options.length.as_secs(),
            workloads: self.counters.all(),
            faults: self.journal.done(),
            wrong: std::mem::take(&mut self.wrong),
            wanted: workloads.iter().flat_map(|workload| workload.coverage()).copied().collect(),
            whole,
        };
        let judged = Judgement::of(&history, end.as_ref(), &logs, &tally);
        judged.explain(&history, &self.folder)?;
        let counts = self.recorder.counts();
        let line = json!({
            "seed": options.seed,
            "seconds": tally.seconds,
            "verdict": judged.word(),
            "ops": counts.ok + counts.refused + counts.unknown,
            "acked": judged.coverage.get("appends.acked"),
            "refused": counts.refused,
            "unknown": counts.unknown,
            "planned": plan.kinds(),
            "faults": tally.faults,
            "coverage": judged.coverage,
            "verdicts": judged.verdicts(),
            "hollow": judged.hollow,
            "idle": judged.idle,
            "unchecked": judged.unchecked,
            "wrong": judged.wrong,
            "node_errors": logs.errors,
            "replay": options.replay(),
            "folder": self.folder,
        });
        fs::write(self.folder.join("verdict.json"), serde_json::to_vec_pretty(&line)?)?;
        let mut broken: Vec<String> = judged
            .report
            .iter()
            .flat_map(|report| report.broken())
            .map(|verdict| verdict.invariant.to_string())
            .collect();
        broken.extend((!judged.wrong.is_empty()).then(|| "wrong".to_owned()));
        let Value::Object(line) = line else { bail!("a verdict is an object") };
        Ok(Ended { word: judged.word(), line, plan, folder: self.folder, broken })
    }

    fn wrong(&mut self, what: &str, error: &anyhow::Error) {
        let told = format!("{what}: {error:#}");
        self.journal.say(&format!("wrong: {told}"));
        self.wrong.push(told);
    }
}

/// The faults that were asked for and are possible, and the plan.
fn draw(options: &Options, rig: &Rig) -> Result<(Vec<Kind>, Plan)> {
    let mut kinds = fault::all();
    for name in options.faults.iter().chain(&options.without) {
        if !kinds.iter().any(|kind| kind.name == name) {
            bail!("there is no fault {name}; `chaos list` lists them");
        }
    }
    kinds.retain(|kind| options.faults.is_empty() || options.faults.iter().any(|name| name == kind.name));
    kinds.retain(|kind| !options.without.iter().any(|name| name == kind.name));
    let (kinds, left_out): (Vec<_>, Vec<_>) =
        kinds.into_iter().partition(|kind| kind.need.is_met(&rig.means, options.nats > 0));
    if !left_out.is_empty() {
        let names: Vec<&str> = left_out.iter().map(|kind| kind.name).collect();
        rig.journal.say(&format!("reduced: without {}", names.join(", ")));
    }
    let choices: Vec<Choice> =
        kinds.iter().map(|kind| Choice { name: kind.name, lasts: kind.lasts.clone() }).collect();
    let plan = Plan::draw(options.seed, options.length, &choices);
    Ok(match &options.only {
        Some(only) => (kinds, plan.only(only)),
        None => (kinds, plan),
    })
}

fn chosen_workloads(options: &Options) -> Result<Vec<Arc<dyn Workload>>> {
    let mut all = workload::all();
    for name in &options.workloads {
        if !all.iter().any(|workload| workload.name() == name) {
            bail!("there is no workload {name}; `chaos list` lists them");
        }
    }
    all.retain(|workload| {
        let chosen =
            options.workloads.is_empty() || options.workloads.iter().any(|name| name == workload.name());
        chosen && (options.nats > 0 || !workload.needs_nats())
    });
    Ok(all)
}

/// `target/chaos/seed-N-PID`, after what dead runs left is cleared away.
fn make_folder(options: &Options) -> Result<PathBuf> {
    let runs = options.out.clone().unwrap_or_else(|| workspace().join("target/chaos"));
    fs::create_dir_all(&runs).with_context(|| format!("cannot make {}", runs.display()))?;
    disk::remove_stale(&runs)?;
    let mut folder = runs.join(format!("seed-{}-{}", options.seed, std::process::id()));
    for again in 2.. {
        if !folder.exists() {
            break;
        }
        folder.set_file_name(format!("seed-{}-again{again}-{}", options.seed, std::process::id()));
    }
    for part in ["data", "logs", "workloads"] {
        fs::create_dir_all(folder.join(part))?;
    }
    Ok(folder)
}

/// Removes the data of a run that holds; its history, logs and verdict stay.
///
/// # Errors
/// When they cannot be removed.
pub fn remove_data(folder: &Path) -> Result<()> {
    fs::remove_dir_all(folder.join("data")).context("cannot remove the data of the run")
}

/// Removes the history of a run that holds, and what the checkers compared it
/// with: a campaign would fill the disk with them.
///
/// # Errors
/// When they cannot be removed.
pub fn remove_history(folder: &Path) -> Result<()> {
    for file in ["history.jsonl", "end.json"] {
        fs::remove_file(folder.join(file)).context("cannot remove the history of the run")?;
    }
    for part in ["logs", "workloads"] {
        fs::remove_dir_all(folder.join(part)).context("cannot remove the logs of the run")?;
    }
    Ok(())
}

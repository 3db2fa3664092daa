//! The engine: rows go to lanes by their entity, so that the order of an
//! entity is kept while many entities are in flight.

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinSet};
use weir_client::{Appender, Client, ClientError, ErrorCode};
use weir_types::{EntityType, Planted, limits, planted};

use super::{
    ImportArgs,
    mapping::Mapping,
    report::{Report, Settled},
    rows::{Row, Rows, append_of},
    verify::difference,
};
use crate::{error::CliError, output::Output, progress::Progress};

/// Rows that wait in one lane: enough that a long run of one entity does not
/// starve the others.
const LANE_ROWS: usize = 512;

/// What every lane has.
struct Lane {
    client: Client,
    appender: Appender,
    entity_type: EntityType,
    mapping_digest: u128,
    batch: usize,
    patience: Duration,
    end: Option<Instant>,
}

type Settlement = Result<Vec<Settled>, CliError>;

pub(crate) async fn run(args: &ImportArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let mapping = Mapping::of(args)?;
    let begin = Instant::now();
    let lane = Arc::new(Lane::new(args, &mapping, client, begin)?);
    let total = std::fs::metadata(&args.csv).map_or(0, |file| file.len());
    let mut rows = Rows::open(&args.csv, mapping)?;
    let (settlements, mut settled) = mpsc::channel::<Settlement>(1_024);
    let (lanes, mut tasks) = start(&lane, args.in_flight.into(), &settlements);
    drop(settlements);
    let mut report = Report::default();
    let mut progress = Progress::new(total);
    let outcome = feed(&mut rows, lanes, &mut settled, &mut report, &mut progress).await;
    if outcome.is_err() {
        tasks.abort_all();
    }
    while tasks.join_next().await.is_some() {}
    progress.finish();
    report.streams = rows.entities() as u64;
    report.seconds = begin.elapsed().as_secs_f64();
    report.events_per_second = report.appended as f64 / report.seconds.max(0.001);
    show(&report, output)?;
    outcome?;
    match report.conflicts {
        0 => Ok(()),
        count => Err(CliError::Conflict(format!("{count} rows stand against what their streams hold"))),
    }
}

fn start(
    lane: &Arc<Lane>,
    count: usize,
    settlements: &mpsc::Sender<Settlement>,
) -> (Vec<mpsc::Sender<Row>>, JoinSet<()>) {
    let mut tasks = JoinSet::new();
    let mut queue = || {
        let (sender, receiver) = mpsc::channel(LANE_ROWS);
        tasks.spawn(Arc::clone(lane).serve(receiver, settlements.clone()));
        sender
    };
    let lanes = (0..count).map(|_| queue()).collect();
    (lanes, tasks)
}

/// Gives every row to its lane and gathers what became of them, until both end.
/// A row that is not legal ends it after the rows before it are settled.
async fn feed(
    rows: &mut Rows<std::fs::File>,
    lanes: Vec<mpsc::Sender<Row>>,
    settled: &mut mpsc::Receiver<Settlement>,
    report: &mut Report,
    progress: &mut Progress,
) -> Result<(), CliError> {
    let (hasher, mut lanes) = (RandomState::new(), Some(lanes));
    let (mut next, mut refused) = (None::<Row>, None);
    loop {
        if next.is_none() && lanes.is_some() {
            match rows.next() {
                Ok(row) => next = row,
                Err(error) => refused = Some(error),
            }
            if next.is_none() {
                lanes = None;
            }
        }
        let target = match (&next, &lanes) {
            (Some(row), Some(lanes)) => {
                let hash = hasher.hash_one(row.entity_id.as_str());
                Some(&lanes[usize::try_from(hash % lanes.len() as u64).expect("it is below the lanes")])
            }
            _ => None,
        };
        tokio::select! {
            permit = async { target.expect("guarded").reserve().await }, if target.is_some() => {
                if let (Ok(permit), Some(row)) = (permit, next.take()) {
                    permit.send(row);
                }
            }
            settlement = settled.recv() => match settlement {
                Some(settlement) => settlement?.into_iter().for_each(|settled| report.add(settled)),
                None => return refused.map_or(Ok(()), Err),
            },
        }
        progress.at(rows.bytes_read(), || report.line());
    }
}

impl Lane {
    fn new(args: &ImportArgs, mapping: &Mapping, client: &Client, begin: Instant) -> Result<Self, CliError> {
        let appender = match args.unary {
            true => Appender::unary(client.clone()),
            false => Appender::session(client.clone(), args.in_flight.into()),
        };
        Ok(Self {
            client: client.with_deadline(args.patience),
            appender,
            entity_type: EntityType::new(&mapping.entity_type)
                .map_err(|error| CliError::Usage(error.to_string()))?,
            mapping_digest: mapping.digest(),
            batch: args.batch.into(),
            patience: args.patience,
            end: args.deadline.map(|deadline| begin + deadline),
        })
    }

    async fn serve(self: Arc<Self>, mut queue: mpsc::Receiver<Row>, settlements: mpsc::Sender<Settlement>) {
        let mut ahead = None;
        loop {
            let first = match ahead.take() {
                Some(row) => row,
                None => match queue.recv().await {
                    Some(row) => row,
                    None => return,
                },
            };
            let rows = self.gather(first, &mut queue, &mut ahead);
            let settlement = self.settle(&rows).await;
            let failed = settlement.is_err();
            if settlements.send(settlement).await.is_err() || failed {
                return;
            }
        }
    }

    /// The row and those of the same entity that wait right behind it, as far
    /// as they fit into one append. The first that does not is left `ahead`.
    fn gather(&self, first: Row, queue: &mut mpsc::Receiver<Row>, ahead: &mut Option<Row>) -> Vec<Row> {
        let mut bytes = first.event.weight();
        let mut rows = vec![first];
        while rows.len() < self.batch {
            let Ok(row) = queue.try_recv() else { break };
            bytes += row.event.weight();
            if row.entity_id != rows[0].entity_id || bytes > limits::APPEND_BYTES_MAX {
                *ahead = Some(row);
                break;
            }
            rows.push(row);
        }
        rows
    }

    async fn settle(&self, rows: &[Row]) -> Settlement {
        let append = append_of(rows, &self.entity_type, self.mapping_digest);
        let count = rows.len() as u64;
        match self.appender.append(&append, self.time_left()?).await {
            Ok(ack) if ack.first_version.0 != rows[0].version => {
                let what = format!("line {}: key was used at version {}", rows[0].line, ack.first_version);
                Ok(vec![Settled::Conflict { rows: count, what }])
            }
            Ok(ack) if ack.repeated => Ok(vec![Settled::AlreadyThere { rows: count }]),
            Ok(_) => Ok(vec![Settled::Appended { rows: count, bytes: append.weight() as u64 }]),
            Err(ClientError::Api(error)) if error.code == ErrorCode::VersionConflict => {
                self.settle_conflict(rows).await
            }
            Err(ClientError::Api(error)) if (400..429).contains(&error.status()) => {
                let what = format!("line {}: `{}`: {error}", rows[0].line, rows[0].entity_id);
                Ok(vec![Settled::Conflict { rows: count, what }])
            }
            Err(error) if planted(Planted::ImportTakesUnknownForDone) && error.outcome_unknown() => {
                Ok(vec![Settled::AlreadyThere { rows: count }])
            }
            Err(error) => Err(CliError::Client(error)),
        }
    }

    /// A version conflict may be these very rows, appended so long ago that
    /// their key is forgotten, or with other batches: then one by one.
    async fn settle_conflict(&self, rows: &[Row]) -> Settlement {
        let what = match difference(&self.client, rows).await? {
            None => return Ok(vec![Settled::AlreadyThere { rows: rows.len() as u64 }]),
            Some(what) => what,
        };
        if let [_] = rows {
            return Ok(vec![Settled::Conflict { rows: 1, what }]);
        }
        let mut settled = Vec::with_capacity(rows.len());
        for row in rows {
            settled.extend(Box::pin(self.settle(std::slice::from_ref(row))).await?);
        }
        Ok(settled)
    }

    fn time_left(&self) -> Result<Duration, CliError> {
        let Some(end) = self.end else { return Ok(self.patience) };
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let text = "import did not end before its deadline; run it again to go on";
            return Err(CliError::OutcomeUnknown(text.into()));
        }
        Ok(left.min(self.patience))
    }
}

fn show(report: &Report, output: &Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.json(report);
    }
    for conflict in &report.told {
        eprintln!("{conflict}");
    }
    output.facts(&[
        ("rows", report.rows.to_string()),
        ("streams", report.streams.to_string()),
        ("appended", report.appended.to_string()),
        ("already there", report.already_there.to_string()),
        ("conflicts", report.conflicts.to_string()),
        ("seconds", format!("{:.1}", report.seconds)),
        ("events/s", format!("{:.0}", report.events_per_second)),
    ])
}

//! One run: a cluster begins, things go wrong, all heals, and what is there at
//! the end is compared with what clients were told.

use std::{
    collections::{BTreeMap, VecDeque},
    env, fs, io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow};
use tempfile::TempDir;
use turmoil::Sim;
use weir_check::{
    FinalState, Recorder,
    history::{Call, Header, Seen, Topology},
    rng::Rng,
};

use crate::{
    admin::{Admin, Order, Orders},
    audit::{Audit, Found},
    bus::{self, Server, Stream, StreamEnd},
    client::Client,
    hook::{self, Hook},
    links::Links,
    machine::{Machine, Site},
    network::host,
    notes::{Noted, Notes},
    plan::{self, Fault, FaultKind},
    plant::Plant,
    setting::Setting,
    subscriber::{SUBSCRIBERS, Subscriber},
    trace::Trace,
    workload::{Worker, World},
};

/// How long the cluster has to begin before things go wrong.
const BEGIN_MS: u64 = 800;
/// How long it has to come to rest after all is healed.
const REST_MS: u64 = 20_000;
/// How long it must be at rest: what was asked before may still come about.
const CALM_MS: u64 = 500;
/// Machines that are idle until their nodes join, at most.
const GUESTS_MAX: u64 = 2;
/// One step of the simulation: what a message takes at least, and what hosts may be apart.
const STEP: Duration = Duration::from_millis(2);
/// Clients whose numbers are not workers'.
const FAULTS: u64 = u64::MAX - 1;
const ADMIN: u64 = u64::MAX - 2;
const AUDITOR: u64 = u64::MAX - 3;
/// What the numbers of subscribers begin after; workers' are below.
const SUBSCRIBER: u64 = 500;
/// The hosts that are no nodes.
const OUTSIDE: [&str; 7] = ["clients-1", "clients-2", "admin", "audit", "subscribers", hook::HOST, bus::HOST];

/// What came of a run.
pub struct Ended {
    /// The whole history, one JSON line per operation.
    pub history: Vec<u8>,
    /// What every node held at the end.
    pub end: FinalState,
    /// What clients noted beside it.
    pub noted: Noted,
    /// The dead letters of the group.
    pub dead: Vec<u64>,
    /// What the bus holds, if there is one.
    pub stream: Option<StreamEnd>,
    /// What the run itself saw that must not be.
    pub wrong: Vec<String>,
    /// Simulated milliseconds.
    pub took_ms: u64,
}

/// Memory that a recorder writes to.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A run under way.
struct Run {
    sim: Sim<'static>,
    site: Arc<Site>,
    machines: Vec<Arc<Machine>>,
    links: Links,
    rng: Rng,
    /// Nodes that are down, until when.
    down: BTreeMap<u64, u64>,
    orders: Orders,
    /// The next node to join; ids are never used again.
    guest: u64,
    stop: Arc<AtomicBool>,
    /// No change of membership is under way any more.
    settled: Arc<AtomicBool>,
    /// The code was handed in.
    prepared: Arc<AtomicBool>,
    notes: Notes,
    /// The bus, if there is one.
    stream: Option<Stream>,
    found: Arc<Mutex<Found>>,
    audited: Arc<Mutex<Vec<Arc<Machine>>>>,
    wrong: Vec<String>,
    memory: Memory,
    /// Holds indexes and states.
    _dir: TempDir,
}

/// Runs a seed's cluster.
///
/// # Errors
/// When the simulation itself fails.
pub fn run(setting: &Setting, plant: Option<Plant>, trace: &Trace) -> Result<Ended> {
    let chaos_ms = BEGIN_MS + millis(setting.chaos);
    let faults = plan::draw(setting.seed, setting.voters, BEGIN_MS, chaos_ms);
    let guests = faults.iter().filter(|fault| matches!(fault.kind, FaultKind::Replace(_))).count() as u64;
    let mut run = Run::new(setting, guests.min(GUESTS_MAX), plant, trace)?;
    run.chaos(faults, chaos_ms)?;
    run.rest()?;
    run.finish()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A folder in memory, where there is one: what lies there is no part of what is simulated.
fn folder() -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    builder.prefix("weir-sim-");
    if memory.is_dir() { builder.tempdir_in(memory) } else { builder.tempdir() }
}

impl Run {
    fn new(setting: &Setting, guests: u64, plant: Option<Plant>, trace: &Trace) -> Result<Self> {
        let dir = folder()?;
        env::set_current_dir(dir.path())?;
        let memory = Memory::default();
        let topology = Topology {
            kind: "simulation".to_owned(),
            nodes: (1..=setting.voters).collect(),
            ..Topology::default()
        };
        let header = Header::new(setting.seed, topology, &["mixed"]);
        let clock = trace.clone();
        let recorder = Recorder::new(Box::new(memory.clone()), &header, Box::new(move || clock.now_us()))?;
        let site = Arc::new(Site {
            seed: setting.seed,
            plant,
            trace: trace.clone(),
            recorder,
            voters: setting.voters,
            shared: setting.shared.clone(),
            bus: setting.bus,
            log: setting.log,
        });
        let sim = turmoil::Builder::new()
            .rng_seed(setting.seed)
            .epoch(std::time::UNIX_EPOCH + Duration::from_secs(1_767_225_600))
            .simulation_duration(Duration::from_secs(600))
            .tick_duration(STEP)
            .min_message_latency(STEP)
            .max_message_latency(setting.latency_max)
            .tcp_capacity(4_096)
            .enable_random_order()
            .build();
        let machines: Vec<_> =
            (1..=setting.voters + guests).map(|node| Machine::new(node, site.clone())).collect();
        let mut run = Self {
            sim,
            site,
            machines,
            links: Links::default(),
            rng: Rng::named(setting.seed, "run"),
            down: BTreeMap::new(),
            orders: Arc::default(),
            guest: setting.voters + 1,
            stop: Arc::default(),
            settled: Arc::default(),
            prepared: Arc::default(),
            notes: Notes::default(),
            stream: setting.bus.then(Stream::default),
            found: Arc::default(),
            audited: Arc::default(),
            wrong: Vec::new(),
            memory,
            _dir: dir,
        };
        run.populate(setting);
        Ok(run)
    }

    fn populate(&mut self, setting: &Setting) {
        for machine in &self.machines {
            let machine = machine.clone();
            self.sim.host(host(machine.node), move || machine.clone().live());
        }
        let (seed, kind) = (setting.seed, self.stop.clone());
        let (notes, trace) = (self.notes.clone(), self.site.trace.clone());
        self.sim.host(hook::HOST, move || {
            let (kind, notes, trace) = (kind.clone(), notes.clone(), trace.clone());
            Hook { rng: Rng::named(seed, hook::HOST), kind, notes, trace }.serve()
        });
        // Without a bus nobody calls there.
        let (stream, kind) = (self.stream.clone().unwrap_or_default(), self.stop.clone());
        let trace = self.site.trace.clone();
        self.sim.host(bus::HOST, move || {
            let (stream, kind, trace) = (stream.clone(), kind.clone(), trace.clone());
            Server { rng: Rng::named(seed, bus::HOST), stream, kind, trace }.serve()
        });
        let workers: Vec<Worker> = (1..=setting.clients).map(|number| self.worker(setting, number)).collect();
        let (mut odd, mut even) = (Vec::new(), Vec::new());
        for (at, worker) in workers.into_iter().enumerate() {
            if at % 2 == 0 { odd.push(worker) } else { even.push(worker) }
        }
        for (host, workers) in OUTSIDE.into_iter().zip([odd, even]) {
            self.sim.client(host, async move {
                let all: Vec<_> = workers.into_iter().map(|worker| tokio::spawn(worker.run())).collect();
                for one in all {
                    one.await?;
                }
                Ok(())
            });
        }
        let admin = Admin {
            client: self.client(ADMIN, Duration::from_secs(3)),
            machines: self.machines.clone(),
            orders: self.orders.clone(),
            stop: self.stop.clone(),
            ended: self.settled.clone(),
            prepared: self.prepared.clone(),
            generation: 0,
        };
        self.order(Order::Prepare);
        self.sim.client(OUTSIDE[2], admin.run());
        let audit = Audit {
            client: self.client(AUDITOR, Duration::from_secs(4)),
            members: self.audited.clone(),
            prepared: self.prepared.clone(),
            notes: self.notes.clone(),
            stream: self.stream.clone(),
            found: self.found.clone(),
        };
        self.sim.client(OUTSIDE[3], audit.run());
        let subscribers: Vec<_> =
            (1..=SUBSCRIBERS).map(|number| self.subscriber(setting, number).run(number)).collect();
        self.sim.client(OUTSIDE[4], async move {
            let all: Vec<_> = subscribers.into_iter().map(tokio::spawn).collect();
            for one in all {
                one.await?;
            }
            Ok(())
        });
    }

    fn worker(&self, setting: &Setting, number: u64) -> Worker {
        let name = format!("c{number}");
        let mut rng = Rng::named(setting.seed, &name);
        let patience = Duration::from_millis(rng.within(300..3_000));
        let world = World {
            nodes: setting.voters,
            stop: self.stop.clone(),
            prepared: self.prepared.clone(),
            notes: self.notes.clone(),
        };
        Worker::new(self.client(number, patience), rng, name, world)
    }

    fn subscriber(&self, setting: &Setting, number: u64) -> Subscriber {
        Subscriber {
            client: self.client(SUBSCRIBER + number, Duration::from_secs(1)),
            rng: Rng::named(setting.seed, &format!("s{number}")),
            nodes: setting.voters,
            stop: self.stop.clone(),
            notes: self.notes.clone(),
        }
    }

    fn client(&self, number: u64, patience: Duration) -> Client {
        Client::new(number, self.site.recorder.clone(), self.site.trace.clone(), patience)
    }

    fn now_ms(&self) -> u64 {
        millis(self.sim.elapsed())
    }

    /// One more step; whether all clients have ended.
    fn step(&mut self) -> Result<bool> {
        self.site.trace.enter();
        let ended = self.sim.step();
        self.site.trace.leave(u64::try_from(self.sim.elapsed().as_micros()).unwrap_or(u64::MAX));
        let ended = ended.map_err(|error| anyhow!("{error}"))?;
        for machine in self.machines.clone() {
            machine.pump();
            if machine.was_ended_by_its_disk() && !self.down.contains_key(&machine.node) {
                let until = self.now_ms() + self.rng.within(50..1_500);
                match machine.disk.is_off() {
                    true => self.lose_power(machine.node, until),
                    false => self.kill(machine.node, until),
                }
            }
        }
        let now = self.now_ms();
        let due: Vec<u64> =
            self.down.iter().filter(|(_, until)| **until <= now).map(|(node, _)| *node).collect();
        for node in due {
            self.start(node);
        }
        Ok(ended)
    }

    fn chaos(&mut self, faults: Vec<Fault>, until_ms: u64) -> Result<()> {
        let mut coming: VecDeque<Fault> = faults.into();
        let mut lasting: Vec<(Fault, bool)> = Vec::new();
        while self.now_ms() < until_ms {
            let now = self.now_ms();
            while let Some(fault) = coming.pop_front_if(|fault| fault.begins_ms <= now) {
                self.note(&fault.kind, "inject");
                let took = self.begin(&fault);
                lasting.push((fault, took));
            }
            let over: Vec<_> = lasting.extract_if(.., |(fault, _)| fault.ends_ms <= now).collect();
            for (fault, took) in over {
                self.note(&fault.kind, "heal");
                self.heal(&fault.kind, took);
            }
            self.step()?;
        }
        for (fault, took) in lasting {
            self.note(&fault.kind, "heal");
            self.heal(&fault.kind, took);
        }
        Ok(())
    }

    fn note(&self, kind: &FaultKind, phase: &str) {
        self.site.trace.note(format_args!("fault {phase} {kind:?}"));
        let (name, nodes) = (kind.name().to_owned(), kind.nodes());
        let detail = format!("{kind:?}").into();
        let call = Call::Fault { name, phase: phase.to_owned(), nodes, detail };
        self.site.recorder.note(FAULTS, self.site.recorder.now_us(), call, Seen::Done);
    }

    /// Whether it is there to be healed.
    fn begin(&mut self, fault: &Fault) -> bool {
        let until = fault.ends_ms;
        match fault.kind {
            FaultKind::Kill(node) => self.kill(node, until),
            FaultKind::PowerCut(node) => self.lose_power(node, until),
            FaultKind::TornWrite(node, changes) => self.machine(node).disk.cut_after(changes),
            FaultKind::SyncError(node) => self.machine(node).disk.fail_sync(),
            FaultKind::Blackout => {
                for node in self.nodes() {
                    self.lose_power(node, until);
                }
            }
            FaultKind::Isolate(node, clients) => {
                for other in self.others(node, clients) {
                    self.links.cut(&self.sim, &host(node), &other);
                }
            }
            FaultKind::OneWay(a, b) => self.links.block(&self.sim, &host(a), &host(b)),
            FaultKind::Cut(a, b) => self.links.cut(&self.sim, &host(a), &host(b)),
            FaultKind::Hold(a, b) => return self.links.hold(&self.sim, &host(a), &host(b)),
            FaultKind::SlowLink(a, b, longest_ms) => {
                self.links.slow(&self.sim, &host(a), &host(b), Duration::from_millis(longest_ms));
            }
            FaultKind::SlowDisk(node, longest_ms) => {
                self.machine(node).sync_us.store(longest_ms * 1_000, Relaxed);
            }
            FaultKind::Clock(node, off_ms) => self.machine(node).skew_us.store(off_ms * 1_000, Relaxed),
            FaultKind::Transfer(to) => self.order(Order::Lead(to)),
            FaultKind::Replace(_) => return self.invite(),
            FaultKind::NewCode => self.order(Order::Prepare),
        }
        true
    }

    fn heal(&mut self, kind: &FaultKind, took: bool) {
        match *kind {
            FaultKind::Isolate(node, clients) => {
                for other in self.others(node, clients) {
                    self.links.mend(&self.sim, &host(node), &other);
                }
            }
            FaultKind::OneWay(a, b) => self.links.unblock(&self.sim, &host(a), &host(b)),
            FaultKind::Cut(a, b) => self.links.mend(&self.sim, &host(a), &host(b)),
            FaultKind::Hold(a, b) if took => self.links.release(&self.sim, &host(a), &host(b)),
            FaultKind::SlowLink(a, b, _) => {
                self.links.slow(&self.sim, &host(a), &host(b), Duration::from_millis(10));
            }
            FaultKind::SlowDisk(node, _) => self.machine(node).sync_us.store(2_000, Relaxed),
            FaultKind::TornWrite(node, _) if !self.down.contains_key(&node) => {
                // Nothing was written meanwhile: it goes now.
                let until = self.now_ms() + 100;
                self.lose_power(node, until);
            }
            FaultKind::Replace(node) if took => self.order(Order::Leave(node)),
            // Those that are down come back by themselves, and a clock that is off stays off.
            _ => {}
        }
    }

    fn order(&self, order: Order) {
        self.orders.lock().unwrap_or_else(PoisonError::into_inner).push_back(order);
    }

    /// A machine that was idle so far runs a node, which joins.
    fn invite(&mut self) -> bool {
        let guest = self.guest;
        let Some(machine) = self.machines.iter().find(|machine| machine.node == guest) else { return false };
        machine.invited.store(true, Relaxed);
        self.sim.bounce(host(guest));
        self.order(Order::Join(guest));
        self.guest += 1;
        true
    }

    fn nodes(&self) -> Vec<u64> {
        self.machines.iter().map(|machine| machine.node).collect()
    }

    fn machine(&self, node: u64) -> &Machine {
        self.machines.iter().find(|machine| machine.node == node).expect("faults hit nodes that there are")
    }

    fn others(&self, node: u64, clients: bool) -> Vec<String> {
        let nodes = self.nodes().into_iter().filter(|other| *other != node).map(host);
        let outside = OUTSIDE.iter().filter(|_| clients).map(|name| (*name).to_owned());
        nodes.chain(outside).collect()
    }

    /// Ends a node's process; its peers are told by their connections.
    fn kill(&mut self, node: u64, until_ms: u64) {
        if let Some(until) = self.down.get_mut(&node) {
            *until = until_ms.max(*until);
            return;
        }
        self.machine(node).disk.killed();
        self.end(node, until_ms);
    }

    /// Takes a machine's power; nobody is told.
    fn lose_power(&mut self, node: u64, until_ms: u64) {
        if let Some(until) = self.down.get_mut(&node) {
            *until = until_ms.max(*until);
            return;
        }
        for other in self.others(node, true) {
            self.links.cut(&self.sim, &host(node), &other);
        }
        self.machine(node).disk.lost_power();
        self.end(node, until_ms);
        for other in self.others(node, true) {
            self.links.mend(&self.sim, &host(node), &other);
        }
    }

    fn end(&mut self, node: u64, until_ms: u64) {
        self.site.trace.note(format_args!("node {node} ends"));
        self.machine(node).forget();
        self.sim.crash(host(node));
        self.lose_derived(node);
        self.down.insert(node, until_ms);
    }

    /// What is made from the log may be lost: it is not flushed for every append.
    fn lose_derived(&mut self, node: u64) {
        for store in ["index", "state", "sql"] {
            if self.rng.chance(50) {
                // It may not be there yet.
                let _ = fs::remove_dir_all(self.machine(node).dir().join(store));
            }
        }
    }

    fn start(&mut self, node: u64) {
        self.site.trace.note(format_args!("node {node} starts"));
        self.down.remove(&node);
        self.machine(node).forget();
        self.sim.bounce(host(node));
    }

    /// Waits until every node is back and all have applied the same.
    fn rest(&mut self) -> Result<()> {
        self.stop.store(true, Relaxed);
        for node in self.down.keys().copied().collect::<Vec<_>>() {
            self.start(node);
        }
        let until = self.now_ms() + REST_MS;
        let mut since = self.now_ms();
        while self.now_ms() < since + CALM_MS {
            if !self.settled.load(Relaxed) || !self.rests() {
                since = self.now_ms();
            }
            if self.now_ms() >= until {
                let told: Vec<_> =
                    self.machines.iter().map(|one| (one.node, one.report(), one.failed())).collect();
                self.wrong.push(format!("the cluster does not come to rest: {told:?}"));
                return Ok(());
            }
            self.step()?;
        }
        *self.audited.lock().unwrap_or_else(PoisonError::into_inner) = self.members();
        while !self.step()? {}
        Ok(())
    }

    /// The members by the word of the leader of the highest term; none without a leader.
    fn members(&self) -> Vec<Arc<Machine>> {
        let leads = |machine: &&Arc<Machine>| machine.report().is_some_and(|report| report.leads);
        let term = |machine: &&Arc<Machine>| machine.report().map(|report| report.term);
        let leader = self.machines.iter().filter(leads).max_by_key(term);
        let members = leader.map(|leader| leader.members()).unwrap_or_default();
        self.machines.iter().filter(|machine| members.contains(&machine.node)).cloned().collect()
    }

    fn rests(&self) -> bool {
        let reports: Option<Vec<_>> = self.members().iter().map(|machine| machine.report()).collect();
        let Some([first, others @ ..]) = reports.as_deref() else { return false };
        first.leader.is_some()
            && others
                .iter()
                .all(|other| (other.leader, other.applied_index) == (first.leader, first.applied_index))
    }

    fn finish(mut self) -> Result<Ended> {
        for machine in &self.machines {
            if let Some(reason) = machine.failed() {
                self.wrong.push(format!("node {} has failed: {reason}", machine.node));
            }
            self.wrong.extend(moved_aside(&machine.dir()));
        }
        let took_ms = self.now_ms();
        let found = std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner));
        self.wrong.extend(found.wrong);
        for machine in &self.machines {
            machine.forget();
        }
        let memory = self.memory.clone();
        drop(self.sim);
        self.site.recorder.flush().context("the history")?;
        let history = memory.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let (noted, dead) = (self.notes.take(), found.dead);
        let stream = self.stream.map(|stream| stream.end());
        Ok(Ended { history, end: found.end, noted, dead, stream, wrong: self.wrong, took_ms })
    }
}

/// A store that was moved aside was ahead of the log, or damaged: neither may be.
fn moved_aside(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let broken = names.filter(|name| name.to_string_lossy().contains("broken"));
    broken.map(|name| format!("{} was moved aside", dir.join(name).display())).collect()
}

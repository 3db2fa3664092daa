//! What a run is told.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail, ensure};

/// How long a healed cluster may take, on a machine that does much else.
const RECOVER: Duration = Duration::from_secs(120);

/// How the command is used.
pub const USAGE: &str = "usage: chaos [--minutes N | --seconds N] [--seed S] [--faults a,b | --without a,b]
             [--workloads x,y] [--nodes 3|5] [--nats 0|1|3] [--only 3,7.2] [--minimise] [--record]
             [--load N] [--readers N] [--campaign RUNS] [--out FOLDER] [--planted NAME] [--recover SECONDS]
       chaos list";

/// The flags of `chaos`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// How long faults come.
    pub length: Duration,
    /// Draws the plan and whatever the workloads draw.
    pub seed: u64,
    /// These faults; all if none is named.
    pub faults: Vec<String>,
    /// Not these.
    pub without: Vec<String>,
    /// These workloads; all if none is named.
    pub workloads: Vec<String>,
    /// Founding members.
    pub nodes: u64,
    /// NATS servers.
    pub nats: u64,
    /// Of the plan only these periods, `3`, and faults, `7.2`.
    pub only: Option<BTreeSet<String>>,
    /// How many times as fast as usual clients work.
    pub load: u32,
    /// How many times as many readers as usual there are.
    pub readers: u32,
    /// So many runs one after another, each with the seed after the last one's.
    pub campaign: u64,
    /// A run that fails is repeated with fewer faults.
    pub minimise: bool,
    /// The campaign's row is put into the record after every run.
    pub record: bool,
    /// How long the healed cluster may take to serve, to agree, and to catch up with itself.
    pub recover: Duration,
    /// Where runs are kept.
    pub out: Option<PathBuf>,
    /// The bug that is planted in the nodes, for the replay: `cargo xtask chaos` plants it.
    pub planted: Option<String>,
}

impl Options {
    /// Five minutes of everything.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            length: Duration::from_secs(300),
            seed,
            faults: Vec::new(),
            without: Vec::new(),
            workloads: Vec::new(),
            nodes: 3,
            nats: 3,
            only: None,
            load: 1,
            readers: 1,
            campaign: 1,
            minimise: false,
            record: false,
            recover: RECOVER,
            out: None,
            planted: None,
        }
    }

    /// Reads flags; `seed` is taken when they name none.
    ///
    /// # Errors
    /// Naming the flag that is unknown or has no legal value.
    pub fn parse(args: &[String], seed: u64) -> Result<Self> {
        let mut options = Self::new(seed);
        let mut args = args.iter();
        while let Some(flag) = args.next() {
            match flag.as_str() {
                "--minimise" => options.minimise = true,
                "--record" => options.record = true,
                _ => options.set(flag, args.next().with_context(|| format!("flag {flag} has no value"))?)?,
            }
        }
        ensure!([3, 5].contains(&options.nodes), "a cluster of {} nodes is not supported", options.nodes);
        ensure!([0, 1, 3].contains(&options.nats), "{} NATS servers are not supported", options.nats);
        Ok(options)
    }

    fn set(&mut self, flag: &str, value: &str) -> Result<()> {
        let number = || value.parse::<u64>().with_context(|| format!("{flag} {value} is no number"));
        let names = || value.split(',').map(str::to_owned).collect::<Vec<_>>();
        match flag {
            "--minutes" => self.length = Duration::from_secs(number()? * 60),
            "--seconds" => self.length = Duration::from_secs(number()?),
            "--seed" => self.seed = number()?,
            "--faults" => self.faults = names(),
            "--without" => self.without = names(),
            "--workloads" => self.workloads = names(),
            "--nodes" => self.nodes = number()?,
            "--nats" => self.nats = number()?,
            "--load" => self.load = u32::try_from(number()?).context("--load is too high")?.max(1),
            "--readers" => {
                self.readers = u32::try_from(number()?).context("--readers is too high")?.max(1);
            }
            "--campaign" => self.campaign = number()?,
            "--only" => self.only = Some(names().into_iter().collect()),
            "--recover" => self.recover = Duration::from_secs(number()?),
            "--out" => self.out = Some(value.into()),
            "--planted" => self.planted = Some(value.to_owned()),
            _ => bail!("unknown flag {flag}"),
        }
        Ok(())
    }

    /// The command that runs the same plan again.
    #[must_use]
    pub fn replay(&self) -> String {
        let mut words = vec![format!(
            "cargo xtask chaos --seconds {} --seed {} --nodes {} --nats {}",
            self.length.as_secs(),
            self.seed,
            self.nodes,
            self.nats
        )];
        for (flag, names) in
            [("--faults", &self.faults), ("--without", &self.without), ("--workloads", &self.workloads)]
        {
            if !names.is_empty() {
                words.push(format!("{flag} {}", names.join(",")));
            }
        }
        if self.load > 1 {
            words.push(format!("--load {}", self.load));
        }
        if self.readers > 1 {
            words.push(format!("--readers {}", self.readers));
        }
        if self.recover != RECOVER {
            words.push(format!("--recover {}", self.recover.as_secs()));
        }
        if let Some(planted) = &self.planted {
            words.push(format!("--planted {planted}"));
        }
        if let Some(only) = &self.only {
            words.push(format!("--only {}", only.iter().cloned().collect::<Vec<_>>().join(",")));
        }
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replay_reads_as_what_was_run() {
        let flags = "--minutes 2 --seed 9 --faults kill-all,flap --workloads bank --nodes 5 --nats 1 --load 3 --readers 4 --recover 45 --planted x --only 3,7.2";
        let args: Vec<String> = flags.split(' ').map(str::to_owned).collect();
        let options = Options::parse(&args, 1).unwrap();
        assert_eq!((options.seed, options.length), (9, Duration::from_secs(120)));
        let again: Vec<String> = options.replay().split(' ').skip(3).map(str::to_owned).collect();
        assert_eq!(Options::parse(&again, 1).unwrap(), options);
        assert!(Options::parse(&["--nodes".to_owned(), "4".to_owned()], 1).is_err());
        assert!(Options::parse(&["--what".to_owned(), "4".to_owned()], 1).is_err());
    }
}

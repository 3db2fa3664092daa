//! What is asked for.

use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The command line.
pub struct Args {
    /// `nats`, `etcd` or `postgres`.
    pub peer: String,
    /// Where its servers are.
    pub urls: Vec<String>,
    /// Appends in flight, one run each.
    pub in_flight: Vec<usize>,
    /// How long a run measures.
    pub duration: Duration,
    /// How long it goes before.
    pub warmup: Duration,
    /// Bytes of JSON of an event.
    pub size: usize,
    /// Streams to append to.
    pub streams: usize,
    /// Processes whose CPU is counted, with all that they started.
    pub pids: Vec<(String, u32)>,
}

impl Args {
    /// Reads the arguments after the program's name.
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let peer = words.next().context("which peer is not said")?;
        let mut args = Self {
            peer,
            urls: Vec::new(),
            in_flight: vec![1, 16, 64, 256],
            duration: Duration::from_secs(5),
            warmup: Duration::from_millis(1_500),
            size: 256,
            streams: 10_000,
            pids: Vec::new(),
        };
        while let Some(flag) = words.next() {
            let value = words.next().with_context(|| format!("{flag} has no value"))?;
            args.take(&flag, &value).with_context(|| format!("{flag} {value} is not legal"))?;
        }
        if args.urls.is_empty() {
            bail!("--url is missing");
        }
        Ok(args)
    }

    fn take(&mut self, flag: &str, value: &str) -> Result<()> {
        match flag {
            "--url" => self.urls = value.split(',').map(str::to_owned).collect(),
            "--in-flight" => self.in_flight = value.split(',').map(str::parse).collect::<Result<_, _>>()?,
            "--duration" => self.duration = Duration::try_from_secs_f64(value.parse()?)?,
            "--warmup" => self.warmup = Duration::try_from_secs_f64(value.parse()?)?,
            "--size" => self.size = value.parse()?,
            "--streams" => self.streams = value.parse()?,
            "--pid" => {
                let (name, pid) = value.split_once('=').context("a pid is NAME=PID")?;
                self.pids.push((name.to_owned(), pid.parse()?));
            }
            _ => bail!("unknown flag"),
        }
        Ok(())
    }

    /// The data of an event: JSON of the size that was asked for.
    pub fn event(&self) -> String {
        let frame = r#"{"fill":""}"#.len();
        format!(r#"{{"fill":"{}"}}"#, "x".repeat(self.size.saturating_sub(frame)))
    }
}

//! Where the processes run: each in a network namespace with an address of its
//! own on one bridge, or, where that is not allowed, all on loopback.

use std::{
    fs,
    net::Ipv4Addr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// Namespaces, bridges and links of a run begin so; its process id follows.
const PREFIX: &str = "wc";

/// The place of a run. What it made is taken down when it is dropped; what a
/// crashed run left is taken down by the next one.
#[derive(Debug)]
pub struct Place {
    kind: Kind,
    made: Vec<Made>,
}

/// A namespace and the link that leads into it.
#[derive(Debug)]
struct Made {
    namespace: String,
    link: String,
}

#[derive(Debug)]
enum Kind {
    Namespaces { bridge: String, net: [u8; 3] },
    Loopback,
}

/// One process's place.
#[derive(Debug, Clone)]
pub struct Site {
    /// Its name: `n1`, `nats2`.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    namespace: Option<String>,
}

impl Place {
    /// Namespaces if this machine allows them, else loopback, with the reason.
    #[must_use]
    pub fn choose() -> (Self, Option<String>) {
        let loopback = Self { kind: Kind::Loopback, made: Vec::new() };
        match Self::namespaces() {
            Ok(place) => (place, None),
            Err(error) => (loopback, Some(format!("{error:#}"))),
        }
    }

    /// Whether every process has a network of its own.
    #[must_use]
    pub fn is_separate(&self) -> bool {
        matches!(self.kind, Kind::Namespaces { .. })
    }

    fn namespaces() -> Result<Self> {
        remove_stale()?;
        let run = std::process::id();
        let bridge = format!("{PREFIX}{run}");
        let [low, high] = [run % 250, run / 250 % 250].map(|part| u8::try_from(part).unwrap_or(0));
        let net = [10, 150 + high % 100, low];
        let mut place = Self { kind: Kind::Namespaces { bridge: bridge.clone(), net }, made: Vec::new() };
        tool("ip", &["link", "add", &bridge, "type", "bridge"])?;
        tool("ip", &["addr", "add", &format!("{}/24", address(net, CLIENTS)), "dev", &bridge])?;
        tool("ip", &["link", "set", &bridge, "up"])?;
        // The proof that all of it is allowed here, before anything relies on it.
        let probe = place.site("probe", 253)?;
        probe.run("iptables", &["-w", "-A", "INPUT", "-s", "192.0.2.1", "-j", "DROP"])?;
        place.remove("probe");
        Ok(place)
    }

    /// A place for one more process; `number` from 1 to 250 tells its address.
    ///
    /// # Errors
    /// When the namespace cannot be made.
    pub fn site(&mut self, name: &str, number: u8) -> Result<Site> {
        let Kind::Namespaces { bridge, net } = &self.kind else {
            return Ok(Site { name: name.to_owned(), address: Ipv4Addr::LOCALHOST, namespace: None });
        };
        let (namespace, address) = (format!("{bridge}-{name}"), address(*net, number));
        let (outer, inside) = (format!("{bridge}-{number}"), format!("{address}/24"));
        self.made.push(Made { namespace: namespace.clone(), link: outer.clone() });
        tool("ip", &["netns", "add", &namespace])?;
        let peer = ["type", "veth", "peer", "name", "eth0", "netns", &namespace];
        tool("ip", &[&["link", "add", &outer][..], &peer[..]].concat())?;
        tool("ip", &["link", "set", &outer, "master", bridge, "up"])?;
        let site = Site { name: name.to_owned(), address, namespace: Some(namespace) };
        site.run("ip", &["addr", "add", &inside, "dev", "eth0"])?;
        site.run("ip", &["link", "set", "eth0", "up"])?;
        site.run("ip", &["link", "set", "lo", "up"])?;
        Ok(site)
    }

    /// Where clients come from; nothing on loopback, where it is the same as everywhere.
    #[must_use]
    pub fn clients(&self) -> Option<Ipv4Addr> {
        match &self.kind {
            Kind::Namespaces { net, .. } => Some(address(*net, CLIENTS)),
            Kind::Loopback => None,
        }
    }

    fn remove(&mut self, name: &str) {
        let ending = format!("-{name}");
        for made in self.made.extract_if(.., |made| made.namespace.ends_with(&ending)) {
            made.remove();
        }
    }
}

impl Made {
    /// The link first: with its namespace it would go some time later, and the next run of this process has
    /// one of the same name.
    fn remove(&self) {
        // What is gone already needs no removal.
        let _ = tool("ip", &["link", "del", &self.link]);
        let _ = tool("ip", &["netns", "del", &self.namespace]);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for made in self.made.drain(..) {
            made.remove();
        }
        if let Kind::Namespaces { bridge, .. } = &self.kind {
            let _ = tool("ip", &["link", "del", bridge]);
        }
    }
}

/// The clients' number on the bridge.
const CLIENTS: u8 = 254;

impl Site {
    /// A command that runs here, and ends with this process, however that ends.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = match &self.namespace {
            Some(namespace) => {
                let mut command = Command::new("nsenter");
                command.arg(format!("--net=/run/netns/{namespace}")).arg(program);
                command
            }
            None => Command::new(program),
        };
        command.stdin(Stdio::null());
        command
    }

    /// Runs a tool of the system here.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn run(&self, program: &str, args: &[&str]) -> Result<String> {
        checked(self.command(Path::new(program)).args(args))
    }

    /// As [`Site::run`], with text on its stdin.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn feed(&self, program: &str, args: &[&str], text: &str) -> Result<()> {
        let mut file = tempfile::tempfile().context("no temporary file")?;
        std::io::Write::write_all(&mut file, text.as_bytes())?;
        std::io::Seek::rewind(&mut file)?;
        checked(self.command(Path::new(program)).args(args).stdin(file)).map(drop)
    }
}

/// Runs a tool of the system; its stdout.
///
/// # Errors
/// When it is not there or fails, with what it said.
pub fn tool(program: &str, args: &[&str]) -> Result<String> {
    checked(Command::new(program).args(args).stdin(Stdio::null()))
}

fn checked(command: &mut Command) -> Result<String> {
    let out = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !out.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&out.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

fn address(net: [u8; 3], number: u8) -> Ipv4Addr {
    Ipv4Addr::new(net[0], net[1], net[2], number)
}

/// Takes down what runs left whose process is gone: processes, namespaces, bridges.
fn remove_stale() -> Result<()> {
    for line in tool("ip", &["netns", "list"])?.lines() {
        let Some(name) = line.split_whitespace().next().filter(|name| is_stale(name)) else { continue };
        // Another run that starts now may be at it as well.
        for process in tool("ip", &["netns", "pids", name]).unwrap_or_default().split_whitespace() {
            // It may have ended by itself by now.
            let _ = tool("kill", &["-9", process]);
        }
        let _ = tool("ip", &["netns", "del", name]);
    }
    for entry in fs::read_dir("/sys/class/net").context("cannot list the links")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if is_stale(&name) && !name.contains('-') {
            let _ = tool("ip", &["link", "del", &name]);
        }
    }
    Ok(())
}

/// Whether it is a name of a run whose process is gone.
fn is_stale(name: &str) -> bool {
    let run = name.strip_prefix(PREFIX).map(|rest| rest.split('-').next().unwrap_or(rest));
    run.and_then(|run| run.parse::<u32>().ok())
        .is_some_and(|run| !Path::new(&format!("/proc/{run}")).exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_dead_runs_are_stale() {
        let alive = format!("wc{}-n1", std::process::id());
        assert!(!is_stale(&alive));
        assert!(is_stale("wc4194999-nats1"), "no process has this id");
        for name in ["wc", "wcx-n1", "eth0", "wlan0", "docker0"] {
            assert!(!is_stale(name), "{name}");
        }
    }
}

//! Packet rules of one site. Every fault has a chain of its own, so that
//! faults that overlap do not undo one another, and each can be counted.

use std::{fmt::Write as _, net::Ipv4Addr};

use anyhow::Result;

use super::place::Site;

/// A chain of rules on what a site receives.
#[derive(Debug)]
pub struct Chain {
    site: Site,
    name: String,
}

/// What happens to packets from a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Whose packets; all of them if nobody's.
    pub from: Option<Ipv4Addr>,
    /// How many of a hundred are dropped.
    pub percent: u64,
    /// What it does with them.
    pub action: Action,
}

/// What a rule does with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nobody is told.
    Drop,
    /// The sender is told by a reset.
    Reset,
    /// A program decides; without it, the packet passes.
    Queue,
}

/// The number of the queue of [`Action::Queue`].
pub const QUEUE: u16 = 7;

impl Rule {
    /// Drops everything from there.
    #[must_use]
    pub fn cut(from: Ipv4Addr) -> Self {
        Self { from: Some(from), percent: 100, action: Action::Drop }
    }

    fn text(&self, chain: &str) -> String {
        let mut text = format!("-A {chain}");
        if let Some(from) = self.from {
            write!(text, " -s {from}").expect("writing to a string cannot fail");
        }
        if self.action == Action::Reset {
            text.push_str(" -p tcp");
        }
        if self.percent < 100 {
            let part = format!(" -m statistic --mode random --probability 0.{:02}", self.percent);
            text.push_str(&part);
        }
        let target = match self.action {
            Action::Drop => "DROP".to_owned(),
            Action::Reset => "REJECT --reject-with tcp-reset".to_owned(),
            Action::Queue => format!("NFQUEUE --queue-num {QUEUE} --queue-bypass"),
        };
        writeln!(text, " -j {target}").expect("writing to a string cannot fail");
        text
    }
}

impl Chain {
    /// Sets rules at a site. `name` is unique there, of at most 28 characters.
    ///
    /// # Errors
    /// When the system refuses them.
    pub fn set(site: &Site, name: &str, rules: &[Rule]) -> Result<Self> {
        let rules: String = rules.iter().map(|rule| rule.text(name)).collect();
        let text = format!("*filter\n:{name} - [0:0]\n-I INPUT -j {name}\n{rules}COMMIT\n");
        site.feed("iptables-restore", &["--noflush", "--wait"], &text)?;
        Ok(Self { site: site.clone(), name: name.to_owned() })
    }

    /// Takes the rules away; how many packets they dropped.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn lift(self) -> Result<u64> {
        let dropped = dropped(&self.site.run("iptables", &["-w", "-L", &self.name, "-v", "-x", "-n"])?);
        let name = &self.name;
        let text = format!("*filter\n-D INPUT -j {name}\n-F {name}\n-X {name}\nCOMMIT\n");
        self.site.feed("iptables-restore", &["--noflush", "--wait"], &text)?;
        Ok(dropped)
    }
}

/// The packets of all rules, of what `iptables -L -v -x -n` prints.
fn dropped(listed: &str) -> u64 {
    listed.lines().filter_map(|line| line.split_whitespace().next()?.parse::<u64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_written_as_iptables_reads_them() {
        let from = Ipv4Addr::new(10, 0, 0, 1);
        assert_eq!(Rule::cut(from).text("f1"), "-A f1 -s 10.0.0.1 -j DROP\n");
        let some = Rule { from: None, percent: 7, action: Action::Drop };
        assert_eq!(some.text("f1"), "-A f1 -m statistic --mode random --probability 0.07 -j DROP\n");
        let told = Rule { from: Some(from), percent: 100, action: Action::Reset };
        assert_eq!(told.text("f1"), "-A f1 -s 10.0.0.1 -p tcp -j REJECT --reject-with tcp-reset\n");
    }

    #[test]
    fn packets_are_summed_over_the_rules() {
        let listed = "Chain f1 (1 references)\n    pkts      bytes target\n      12      700 DROP\n       3       10 DROP\n";
        assert_eq!(dropped(listed), 15);
    }
}

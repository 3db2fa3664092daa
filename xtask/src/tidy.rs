//! The rules that no compiler checks. `cargo xtask tidy` runs them, and so
//! does a test of this crate.

mod errors;
mod first_command;
mod imports;
mod planted;
mod source;
mod words;

use anyhow::{Result, bail};

/// Checks every rule and names every breach.
pub fn run() -> Result<()> {
    let breaches = breaches()?;
    for breach in &breaches {
        eprintln!("tidy: {breach}");
    }
    if breaches.is_empty() {
        return Ok(());
    }
    bail!("tidy found {} breaches of the rules in CONTRIBUTING.md", breaches.len());
}

fn breaches() -> Result<Vec<String>> {
    let files = source::files()?;
    let metadata = imports::metadata()?;
    let mut breaches = imports::breaches(&metadata)?;
    breaches.extend(planted::breaches(&metadata));
    breaches.extend(first_command::breaches(&metadata));
    breaches.extend(words::breaches(&files));
    breaches.extend(errors::breaches(&files));
    Ok(breaches)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_keeps_its_own_rules() {
        let found = breaches().expect("tidy can read the repository");
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

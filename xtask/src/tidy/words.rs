//! What may not stand in a file, and how long a file may be.

use super::source::Source;

/// Lines of one Rust file.
const LINES_MAX: usize = 600;

/// What no Rust file holds: the words, split so that this file is no breach, and why.
const BANNED: [(&str, &str, &str); 6] = [
    ("todo", "!(", "an unfinished path is not committed"),
    ("unimplemented", "!(", "an unfinished path is not committed"),
    ("dbg", "!(", "debugging output is not committed"),
    ("#[ig", "nore", "a test that is not run is not kept"),
    ("thread::sl", "eep", "wait for a condition, with a deadline"),
    ("std::process::ab", "ort", "only `node` and the log thread's fatal hook end the process"),
];

/// Roots of paths that exist on one machine only.
const MACHINE_PATHS: [(&str, &str); 4] =
    [("/wo", "rk/"), ("/ro", "ot/"), ("/tmp/ba", "sh_"), ("/tmp/br", "ief")];

const LOG_MACROS: [&str; 5] = ["error!(\"", "warn!(\"", "info!(\"", "debug!(\"", "trace!(\""];

/// Every breach, as `path:line: what is wrong`.
pub fn breaches(files: &[Source]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let lines = file.text.lines().count();
        if file.is_rust() && lines > LINES_MAX {
            found.push(format!("{}: has {lines} lines, over the limit of {LINES_MAX}", file.path));
        }
        for (number, line) in (1..).zip(file.text.lines()) {
            let wrong = line_breaches(file, line);
            found.extend(wrong.into_iter().map(|wrong| format!("{}:{number}: {wrong}", file.path)));
        }
    }
    found
}

fn line_breaches(file: &Source, line: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (head, tail) in MACHINE_PATHS {
        if let Some((before, _)) = line.split_once(&format!("{head}{tail}"))
            && !before.ends_with(|c: char| c.is_alphanumeric() || c == '.')
        {
            wrong.push(format!("names a path of one machine (`{head}{tail}…`)"));
        }
    }
    if !file.path.ends_with(".md")
        && let Some((_, after)) = line.split_once(concat!("TO", "DO"))
        && !after.starts_with("(#")
    {
        wrong.push(concat!("a TO", "DO has an issue number: `TO", "DO(#12)`").to_owned());
    }
    if file.is_rust() {
        wrong.extend(rust_breaches(file, line));
    }
    wrong
}

fn rust_breaches(file: &Source, line: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for (head, tail, why) in BANNED {
        if !line.contains(&format!("{head}{tail}")) {
            continue;
        }
        if head.starts_with("std") && file.path.starts_with("node/") {
            continue;
        }
        wrong.push(format!("holds `{head}{tail}`: {why}"));
    }
    let waits = file.path.starts_with("cluster-tests/") || file.path.contains("/tests/");
    if waits && !file.path.ends_with("/eventually.rs") && line.contains(concat!("time::sl", "eep")) {
        wrong.push("sleeps: use `eventually`".to_owned());
    }
    let code = line.trim_start();
    if let Some(message) = LOG_MACROS.iter().find_map(|log| code.strip_prefix(log))
        && message.split('"').next().is_some_and(|text| text.contains('{'))
    {
        wrong.push(
            "formats values into a log message: give them as fields, before a constant message".to_owned(),
        );
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> usize {
        breaches(&[Source { path: path.to_owned(), text: text.to_owned() }]).len()
    }

    #[test]
    fn each_rule_finds_its_breach() {
        for (head, tail, _) in BANNED {
            assert_eq!(found("raft/src/x.rs", &format!("    {head}{tail}")), 1, "{head}");
        }
        for (head, tail) in MACHINE_PATHS {
            assert_eq!(found("README.md", &format!("see {head}{tail}x")), 1, "{head}");
        }
        assert_eq!(found("raft/src/x.rs", concat!("// TO", "DO: later")), 1);
        assert_eq!(found("raft/src/x.rs", concat!("// TO", "DO(#7): later")), 0);
        assert_eq!(found("raft/src/x.rs", "info!(\"took {x}\");"), 1);
        assert_eq!(found("raft/src/x.rs", "info!(x, \"segment rolled\");"), 0);
        assert_eq!(found("raft/src/x.rs", &"//\n".repeat(601)), 1);
    }
}

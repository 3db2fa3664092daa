//! What a recipe measured, and how it is told.

use std::time::Instant;

use serde_json::{Map, Value};

/// The figures of one run, in the order in which they were noted.
#[derive(Debug)]
pub struct Report {
    figures: Map<String, Value>,
    started: Instant,
}

impl Default for Report {
    fn default() -> Self {
        Self { figures: Map::new(), started: Instant::now() }
    }
}

impl Report {
    /// Says on stderr what happens now.
    pub fn phase(&self, what: &str) {
        eprintln!("{:>7.1} s  {what}", self.started.elapsed().as_secs_f64());
    }

    /// Notes a figure.
    pub fn note(&mut self, name: &str, value: impl Into<Value>) {
        self.figures.insert(name.to_owned(), value.into());
    }

    /// One line of JSON.
    #[must_use]
    pub fn line(mut self, recipe: &str, verdict: &str) -> String {
        self.note("seconds", (self.started.elapsed().as_secs_f64() * 10.0).round() / 10.0);
        let mut line = Map::new();
        line.insert("recipe".to_owned(), recipe.into());
        line.insert("verdict".to_owned(), verdict.into());
        line.extend(self.figures);
        Value::Object(line).to_string()
    }
}

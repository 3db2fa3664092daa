use std::{fs, path::PathBuf, time::Duration};

use weir_client::{Client, RegisterProjectionRequest, SubjectBody, WebhookBody};

use crate::{duration::parse_duration, error::CliError, output::Output};

/// The projection that is asked for. Terms (lease, deliveries, what becomes of an event) that are not said stay.
#[derive(Debug, clap::Args)]
pub struct RegisterArgs {
    /// The projection
    name: String,
    /// Patterns of its events: `order.placed`, `order.*`
    #[arg(required = true, value_name = "PATTERN")]
    events: Vec<String>,
    /// JSONPath of the partition within the event, `$.data.customer.id`; one partition without it
    #[arg(long, value_name = "PATH")]
    partition_key: Option<String>,
    /// It has effects and no state: its worker only says which events it has done
    #[arg(long)]
    external: bool,
    /// The server that the cluster itself sends the events to, `https://…`; no worker is needed
    #[arg(long, value_name = "URL", conflicts_with = "nats")]
    webhook: Option<String>,
    /// The file whose first line is the secret that signs what goes to the webhook
    #[arg(long, value_name = "FILE", requires = "webhook")]
    secret_file: Option<PathBuf>,
    /// The subject of NATS that the cluster itself sends the events to; no worker is needed
    #[arg(long, value_name = "SUBJECT")]
    nats: Option<String>,
    /// For how long a worker has the projection to itself without a sign of life
    #[arg(long, value_parser = parse_duration, value_name = "TIME")]
    lease: Option<Duration>,
    /// How often an event is handed out before it counts as not to be done
    #[arg(long, value_name = "N")]
    deliveries: Option<u32>,
    /// What becomes of such an event
    #[arg(long, value_name = "WHAT")]
    on_failure: Option<OnFailure>,
}

/// What becomes of an event that was handed out often enough.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum OnFailure {
    Park,
    DeadLetter,
}

impl RegisterArgs {
    fn request(&self) -> Result<RegisterProjectionRequest, CliError> {
        let external = self.external || self.webhook.is_some() || self.nats.is_some();
        let webhook = match &self.webhook {
            Some(url) => Some(WebhookBody { url: url.clone(), secret: self.secret()? }),
            None => None,
        };
        Ok(RegisterProjectionRequest {
            name: self.name.clone(),
            events: self.events.clone(),
            partition_key: self.partition_key.clone().unwrap_or_default(),
            mode: if external { "external" } else { "managed" }.to_owned(),
            lease_ms: self.lease.map(|lease| u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)),
            deliveries_max: self.deliveries,
            on_failure: match self.on_failure {
                None => "",
                Some(OnFailure::Park) => "park",
                Some(OnFailure::DeadLetter) => "dead_letter",
            }
            .to_owned(),
            webhook,
            nats: self.nats.clone().map(|subject| SubjectBody { subject }),
        })
    }

    /// Not of the command line, which every user of the machine can read.
    fn secret(&self) -> Result<String, CliError> {
        let Some(file) = &self.secret_file else { return Ok(String::new()) };
        let text = fs::read_to_string(file).map_err(CliError::io(format!("read `{}`", file.display())))?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }
}

pub(super) async fn register(args: &RegisterArgs, client: &Client, output: &Output) -> Result<(), CliError> {
    let told = client.register_projection(&args.request()?).await?;
    output.json_or(&told, |told| {
        let (name, status, position) = (&args.name, &told.status, told.last_event_seq);
        eprintln!("projection `{name}` is {status}; all up to position {position} is saved");
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use clap::Parser;
    use serde_json::json;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: RegisterArgs,
    }

    fn request(line: &[&str]) -> serde_json::Value {
        let parsed = Line::try_parse_from(["register"].iter().chain(line)).unwrap();
        serde_json::to_value(parsed.args.request().unwrap()).unwrap()
    }

    #[test]
    fn what_is_asked_for_is_what_the_line_says_and_a_secret_is_a_files_first_line() {
        assert_eq!(
            request(&["p", "a.*", "b", "--partition-key", "$.data.x", "--lease", "2s"]),
            json!({ "name": "p", "events": ["a.*", "b"], "partitionKey": "$.data.x", "mode": "managed", "leaseMs": 2_000 })
        );
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "hush\nand a remark").unwrap();
        let secret = file.path().display().to_string();
        let line =
            ["p", "a", "--webhook", "https://h/", "--secret-file", &secret, "--on-failure", "dead-letter"];
        let asked = request(&line);
        assert_eq!(asked["webhook"], json!({ "url": "https://h/", "secret": "hush" }));
        assert_eq!((&asked["mode"], &asked["onFailure"]), (&json!("external"), &json!("dead_letter")));
        let asked = request(&["p", "a", "--nats", "shop.mail", "--deliveries", "3"]);
        assert_eq!((&asked["nats"]["subject"], &asked["deliveriesMax"]), (&json!("shop.mail"), &json!(3)));
        for bad in
            [&["p"][..], &["p", "a", "--webhook", "u", "--nats", "s"], &["p", "a", "--secret-file", "f"]]
        {
            assert!(Line::try_parse_from(["register"].iter().chain(bad)).is_err(), "{bad:?}");
        }
    }
}

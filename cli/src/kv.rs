//! `weir kv …`

use std::{io::Write as _, time::Duration};

use clap::Subcommand;
use weir_client::{
    Client, KvExpect, KvWatch,
    v1::{BucketBody, KvKeysQuery, KvReadQuery, KvWatchQuery},
};

use crate::{
    duration::parse_duration, error::CliError, output::Output, payload::read_bytes, projection::done,
};

#[derive(Debug, Subcommand)]
pub enum KvCommand {
    /// Make a bucket
    Create {
        /// Its name
        bucket: String,
        /// What it is for
        #[arg(long)]
        description: Option<String>,
        /// How long an entry lives: 90s, 12h
        #[arg(long, value_parser = parse_duration, value_name = "TIME")]
        ttl: Option<Duration>,
        /// Values that are kept of a key
        #[arg(long, value_name = "N")]
        history: Option<u64>,
        /// Bytes of one value
        #[arg(long, value_name = "BYTES")]
        max_value_size: Option<u64>,
        /// Bytes of all values
        #[arg(long, value_name = "BYTES")]
        max_bytes: Option<u64>,
    },
    /// List buckets
    Buckets,
    /// Show a bucket
    Info {
        /// The bucket
        bucket: String,
    },
    /// Remove a bucket with all that is in it
    DeleteBucket {
        /// The bucket
        bucket: String,
    },
    /// Put a value
    Put {
        /// The bucket
        bucket: String,
        /// The key
        key: String,
        /// The value, @FILE, or - for stdin
        value: String,
        /// Only if the key holds no value
        #[arg(long, conflicts_with = "revision")]
        create: bool,
        /// Only if the key holds a value, of whatever revision
        #[arg(long, conflicts_with_all = ["create", "revision"])]
        if_exists: bool,
        /// Only if the key's value has this revision
        #[arg(long, value_name = "REVISION")]
        revision: Option<u64>,
        /// How long this value lives
        #[arg(long, value_parser = parse_duration, value_name = "TIME")]
        ttl: Option<Duration>,
    },
    /// Print a value
    Get {
        /// The bucket
        bucket: String,
        /// The key
        key: String,
        /// The revision; the newest without it
        #[arg(long, value_name = "REVISION")]
        revision: Option<u64>,
    },
    /// List what a key held
    History {
        /// The bucket
        bucket: String,
        /// The key
        key: String,
        /// Only what was made by this revision or a later one
        #[arg(long, value_name = "REVISION")]
        from_revision: Option<u64>,
    },
    /// Delete a key
    #[command(alias = "rm")]
    Delete {
        /// The bucket
        bucket: String,
        /// The key
        key: String,
        /// Drop its history too
        #[arg(long)]
        purge: bool,
        /// Only if the key's value has this revision
        #[arg(long, value_name = "REVISION")]
        revision: Option<u64>,
    },
    /// List the keys of a bucket
    #[command(alias = "ls")]
    Keys {
        /// The bucket
        bucket: String,
        /// A NATS wildcard: order.*, order.>
        #[arg(long)]
        filter: Option<String>,
        /// Only keys after this one
        #[arg(long)]
        after: Option<String>,
        /// Keys to show
        #[arg(long, default_value_t = 1_000, value_name = "N")]
        limit: u64,
    },
    /// Print every change of a bucket's keys, until it is interrupted
    Watch {
        /// The bucket
        bucket: String,
        /// A key, or a NATS wildcard: order.*, order.>
        #[arg(long)]
        key: Option<String>,
        /// First what keys hold by changes after this revision; 0 is everything
        #[arg(long, value_name = "REVISION")]
        since: Option<u64>,
    },
}

pub(crate) async fn run(command: &KvCommand, client: &Client, output: &Output) -> Result<(), CliError> {
    match command {
        KvCommand::Create { bucket, description, ttl, history, max_value_size, max_bytes } => {
            let body = BucketBody {
                name: bucket.clone(),
                description: description.clone(),
                ttl_seconds: ttl.map(|ttl| ttl.as_secs()),
                max_value_size: *max_value_size,
                max_bytes: *max_bytes,
                history: *history,
            };
            output.json_or(&client.create_bucket(&body).await?, |_| done(output, "bucket created"))
        }
        KvCommand::Buckets => buckets(client, output).await,
        KvCommand::Info { bucket } => info(bucket, client, output).await,
        KvCommand::DeleteBucket { bucket } => {
            client.delete_bucket(bucket).await?;
            done(output, &format!("bucket `{bucket}` removed"))
        }
        KvCommand::Put { bucket, key, value, create, if_exists, revision, ttl } => {
            let expect = match (create, if_exists) {
                (true, _) => KvExpect::Absent,
                (false, true) => KvExpect::Exists,
                (false, false) => expect(*revision),
            };
            let put = client.kv_put((bucket, key), read_bytes(value)?, expect, *ttl).await?;
            output.json_or(&put, |put| output.line(&put.revision.to_string()))
        }
        KvCommand::Get { bucket, key, revision } => get((bucket, key), *revision, client, output).await,
        KvCommand::History { bucket, key, from_revision } => {
            history((bucket, key), *from_revision, client, output).await
        }
        KvCommand::Delete { bucket, key, purge, revision } => {
            client.kv_delete((bucket, key), expect(*revision), *purge).await?;
            done(output, &format!("key `{key}` deleted"))
        }
        KvCommand::Keys { bucket, filter, after, limit } => {
            let query = KvKeysQuery {
                filter: filter.clone(),
                after: after.clone(),
                limit: Some(*limit),
                consistency: None,
            };
            let page = client.kv_keys(bucket, &query).await?;
            output.json_or(&page, |page| page.keys.iter().try_for_each(|key| output.line(key)))
        }
        KvCommand::Watch { bucket, key, since } => {
            let query = KvWatchQuery { key: key.clone(), since: *since };
            watch(client.kv_watch(bucket, query), output).await
        }
    }
}

async fn watch(mut watch: KvWatch, output: &Output) -> Result<(), CliError> {
    loop {
        let update = watch.next().await?;
        if output.is_json() {
            output.json(&update)?;
            continue;
        }
        let entry = &update.entry;
        let bytes = entry.bytes().map_err(weir_client::ClientError::from)?;
        let value = String::from_utf8_lossy(&bytes).into_owned();
        output.line(&format!("{} {} {} {value}", entry.revision, entry.operation, entry.key))?;
    }
}

fn expect(revision: Option<u64>) -> KvExpect {
    revision.map_or(KvExpect::Any, KvExpect::Revision)
}

async fn buckets(client: &Client, output: &Output) -> Result<(), CliError> {
    let list = client.buckets().await?;
    if output.is_json() {
        return output.json(&list);
    }
    let rows = list.buckets.iter().map(|bucket| {
        let ttl = bucket.ttl_seconds.map_or_else(|| "-".into(), |ttl| format!("{ttl}s"));
        [bucket.name.clone(), bucket.values.to_string(), bucket.bytes.to_string(), ttl]
    });
    output.table(["BUCKET", "VALUES", "BYTES", "TTL"], &rows.collect::<Vec<_>>())
}

async fn info(bucket: &str, client: &Client, output: &Output) -> Result<(), CliError> {
    let info = client.bucket(bucket).await?;
    if output.is_json() {
        return output.json(&info);
    }
    output.facts(&[
        ("bucket", info.name),
        ("values", info.values.to_string()),
        ("bytes", info.bytes.to_string()),
        ("revision", info.revision.to_string()),
        ("history", info.history.to_string()),
        ("ttl", info.ttl_seconds.map_or_else(|| "-".into(), |ttl| format!("{ttl}s"))),
        ("created", info.created_at),
    ])
}

async fn get(
    (bucket, key): (&str, &str),
    revision: Option<u64>,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let query = KvReadQuery { revision, ..KvReadQuery::default() };
    let entry = client.kv_get(bucket, key, &query).await?;
    let entry = entry.ok_or_else(|| CliError::from(not_found()))?;
    if output.is_json() {
        return output.json(&entry);
    }
    let bytes = entry.bytes().map_err(weir_client::ClientError::from)?;
    std::io::stdout().write_all(&bytes).map_err(CliError::io("write to stdout"))
}

fn not_found() -> weir_client::ClientError {
    weir_client::ApiError::new(weir_client::ErrorCode::KeyNotFound, "key not found").into()
}

async fn history(
    (bucket, key): (&str, &str),
    from_revision: Option<u64>,
    client: &Client,
    output: &Output,
) -> Result<(), CliError> {
    let history = client.kv_history(bucket, key, from_revision).await?;
    if output.is_json() {
        return output.json(&history);
    }
    let rows = history.entries.iter().map(|entry| {
        let bytes = entry.bytes().map_or(0, |bytes| bytes.len());
        [entry.revision.to_string(), entry.operation.clone(), entry.created_at.clone(), bytes.to_string()]
    });
    output.table(["REVISION", "OPERATION", "AT", "BYTES"], &rows.collect::<Vec<_>>())?;
    match history.next {
        Some(next) => done(output, &format!("there is more: --from-revision {next}")),
        None => Ok(()),
    }
}

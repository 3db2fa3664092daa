//! Changes and reads of keys, at one node.

use reqwest::Method;
use weir_api::v1::{KvEntryView, KvPutResult, paths};
use weir_check::history::{Call, KvOp, Pending, Seen};

use super::{Answer, Caller, Lost};
use crate::edge::Edge;

/// What came of a change of a key.
#[derive(Debug, Clone)]
pub(in super::super) enum Changed {
    /// A value was put.
    Put(KvPutResult),
    /// The key was deleted, by this revision.
    Deleted(u64),
    /// It was not done, for this reason.
    Refused(String),
    /// Nobody knows.
    Unknown,
}

impl Caller {
    /// Carries an operation on a key out and writes it down. Gives the revision
    /// that the key is at then, 0 when absent, as far as the answer tells.
    pub(in super::super) async fn key(
        &mut self,
        (node, edge): (u64, &Edge),
        (bucket, key): (&str, &str),
        op: KvOp,
    ) -> Option<u64> {
        let call = Call::Kv { bucket: bucket.into(), key: key.into(), op: op.clone(), node };
        let pending = self.context.recorder.invoke(self.number, call);
        let path = paths::kv_key(bucket, key);
        let guard = |revision: Option<u64>| match revision {
            None => vec![],
            Some(0) => vec![("if-none-match", "*".to_owned())],
            Some(revision) => vec![("if-match", revision.to_string())],
        };
        let answer = match &op {
            KvOp::Get => return self.get_key(edge, pending, &path).await,
            KvOp::Put { value } => {
                self.exchange_with(edge, Method::PUT, &path, &[], Some(value.clone().into_bytes())).await
            }
            KvOp::Cas { revision, value } => {
                let body = Some(value.clone().into_bytes());
                self.exchange_with(edge, Method::PUT, &path, &guard(Some(*revision)), body).await
            }
            KvOp::Delete { revision } => {
                self.exchange_with(edge, Method::DELETE, &path, &guard(*revision), None).await
            }
        };
        match self.changed(answer) {
            Changed::Put(KvPutResult { revision, .. }) => {
                self.count("put");
                pending.ok(Seen::Kv { value: None, revision });
                Some(revision)
            }
            Changed::Deleted(revision) => {
                self.count("deleted");
                pending.ok(Seen::Kv { value: None, revision });
                Some(0)
            }
            Changed::Refused(code) => {
                let actual = code.split_once(' ').and_then(|(_, actual)| actual.parse().ok());
                pending.refused(code.split(' ').next().unwrap_or_default(), actual);
                actual
            }
            Changed::Unknown => {
                pending.unknown("lost");
                None
            }
        }
    }

    async fn get_key(&mut self, edge: &Edge, pending: Pending, path: &str) -> Option<u64> {
        match self.exchange(edge, Method::GET, path, None).await {
            Ok(answer) if answer.is_ok() => match answer.parsed::<KvEntryView>() {
                Ok(entry) => {
                    self.count("read");
                    let bytes = entry.bytes().unwrap_or_default();
                    let value = Some(String::from_utf8_lossy(&bytes).into_owned());
                    pending.ok(Seen::Kv { value, revision: entry.revision });
                    Some(entry.revision)
                }
                Err(error) => {
                    pending.unknown("not understood");
                    self.wrong(format!("{path}: {error:#}"));
                    None
                }
            },
            Ok(answer) if answer.error().code.as_str() == "key_not_found" => {
                self.count("absent");
                pending.ok(Seen::Kv { value: None, revision: 0 });
                Some(0)
            }
            Ok(answer) => {
                pending.refused(answer.error().code.as_str(), None);
                None
            }
            Err(_) => {
                pending.unknown("lost");
                None
            }
        }
    }

    /// Puts or deletes without writing it down.
    pub(in super::super) async fn change_key(
        &mut self,
        edge: &Edge,
        (method, path): (Method, &str),
        headers: &[(&'static str, String)],
        body: Option<Vec<u8>>,
    ) -> Changed {
        let answer = self.exchange_with(edge, method, path, headers, body).await;
        self.changed(answer)
    }

    fn changed(&mut self, answer: Result<Answer, Lost>) -> Changed {
        let answer = match answer {
            Ok(answer) => answer,
            Err(Lost::NotSent) => return Changed::Refused("no_connection".to_owned()),
            Err(Lost::Sent(_)) => return Changed::Unknown,
        };
        if answer.status == 204 {
            return match answer.revision {
                Some(revision) => Changed::Deleted(revision),
                None => {
                    self.wrong("a deletion names no revision".to_owned());
                    Changed::Unknown
                }
            };
        }
        if answer.is_ok() {
            return match answer.parsed() {
                Ok(put) => Changed::Put(put),
                Err(error) => {
                    self.wrong(format!("a put was answered with something else: {error:#}"));
                    Changed::Unknown
                }
            };
        }
        let error = answer.error();
        if error.code.outcome_unknown() {
            return Changed::Unknown;
        }
        self.count(&format!("refused.{}", error.code));
        let actual = error.details.get("actualRevision").and_then(serde_json::Value::as_u64);
        Changed::Refused(match actual {
            Some(actual) => format!("{} {actual}", error.code),
            None => error.code.to_string(),
        })
    }
}

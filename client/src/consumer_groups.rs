use std::time::Duration;

use reqwest::Method;
use serde::de::IgnoredAny;
use weir_api::v1::{
    ConsumerGroupBody, ConsumerGroupChange, ConsumerGroupList, ConsumerGroupView, DeadLetterPage,
    DeadLettersQuery, DeliveryView, GroupStatus, PullQuery, PullResult, ReplayBody, ReplayResult, SettleBody,
    SettleResult, SettlementBody, SettlementView, VerdictKind, paths,
};

use crate::{Client, ClientError, client::Call, retry::Repeat};

/// Consumer groups. Events are taken with [`Client::pull`] and settled with [`Client::settle`]; what is not
/// settled in time is handed out again.
impl Client {
    /// Makes a consumer group.
    ///
    /// # Errors
    /// [`ClientError`]; `consumer_group_exists`.
    pub async fn create_consumer_group(
        &self,
        group: &ConsumerGroupBody,
    ) -> Result<ConsumerGroupBody, ClientError> {
        let call = Call::new(Method::POST, paths::CONSUMER_GROUPS, Repeat::OnlyIfNothingHappened).body(group);
        self.call(call).await
    }

    /// All consumer groups, in order of their names.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn consumer_groups(&self) -> Result<ConsumerGroupList, ClientError> {
        self.call(Call::new(Method::GET, paths::CONSUMER_GROUPS, Repeat::Harmless)).await
    }

    /// A consumer group, and how far it is.
    ///
    /// # Errors
    /// [`ClientError`]; `consumer_group_not_found`.
    pub async fn consumer_group(&self, name: &str) -> Result<ConsumerGroupView, ClientError> {
        let path = paths::fill(paths::CONSUMER_GROUP, name);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless)).await
    }

    /// Changes the terms of a consumer group: what is `None` stays as it is. What is with consumers stays with them.
    ///
    /// # Errors
    /// [`ClientError`]; `consumer_group_not_found`.
    pub async fn change_consumer_group(
        &self,
        name: &str,
        change: &ConsumerGroupChange,
    ) -> Result<ConsumerGroupBody, ClientError> {
        let path = paths::fill(paths::CONSUMER_GROUP, name);
        self.call(Call::new(Method::PATCH, &path, Repeat::Harmless).body(change)).await
    }

    /// Has a consumer group hand out nothing until it is resumed. Verdicts are still taken.
    ///
    /// # Errors
    /// [`ClientError`]; `consumer_group_not_found`.
    pub async fn pause_consumer_group(&self, name: &str) -> Result<ConsumerGroupBody, ClientError> {
        self.change_consumer_group(name, &ConsumerGroupChange::of_status(GroupStatus::Paused)).await
    }

    /// Has a consumer group that is paused go on.
    ///
    /// # Errors
    /// [`ClientError`]; `consumer_group_not_found`.
    pub async fn resume_consumer_group(&self, name: &str) -> Result<ConsumerGroupBody, ClientError> {
        self.change_consumer_group(name, &ConsumerGroupChange::of_status(GroupStatus::Active)).await
    }

    /// Removes a consumer group with its dead letters.
    ///
    /// # Errors
    /// [`ClientError`]; `consumer_group_not_found`.
    pub async fn delete_consumer_group(&self, name: &str) -> Result<(), ClientError> {
        let path = paths::fill(paths::CONSUMER_GROUP, name);
        let call = Call::new(Method::DELETE, &path, Repeat::OnlyIfNothingHappened);
        self.call::<_, _, IgnoredAny>(call).await.map(|_| ())
    }

    /// Takes events in the name of a group, at most `most`; waits up to `wait` for the first. An answer that
    /// is lost loses none: they are handed out again.
    ///
    /// # Errors
    /// [`ClientError`]; `consumer_group_not_found`.
    pub async fn pull(
        &self,
        name: &str,
        most: u64,
        wait: Duration,
    ) -> Result<Vec<DeliveryView>, ClientError> {
        let path = paths::fill(paths::CONSUMER_GROUP_PULL, name);
        let wait_ms = u64::try_from(wait.as_millis()).ok();
        let query = PullQuery { max: Some(most), wait_ms };
        let call = Call::new(Method::POST, &path, Repeat::Harmless).query(&query).wait(wait);
        self.call::<_, _, PullResult>(call).await.map(|pulled| pulled.deliveries)
    }

    /// Says what became of events. It may be said again: what is settled stays so.
    ///
    /// # Errors
    /// [`ClientError`]; `consumer_group_not_found`.
    pub async fn settle(
        &self,
        name: &str,
        settlements: Vec<SettlementBody>,
    ) -> Result<Vec<SettlementView>, ClientError> {
        let path = paths::fill(paths::CONSUMER_GROUP_SETTLE, name);
        let body = SettleBody { settlements };
        let call = Call::new(Method::POST, &path, Repeat::Harmless).body(&body);
        self.call::<_, _, SettleResult>(call).await.map(|settled| settled.results)
    }

    /// Says that one delivery is done with.
    ///
    /// # Errors
    /// As [`Client::settle`].
    pub async fn ack(&self, name: &str, delivery: &DeliveryView) -> Result<Vec<SettlementView>, ClientError> {
        self.settle(name, vec![SettlementBody::of(delivery, VerdictKind::Ack)]).await
    }

    /// Dead letters after a position, in order of position.
    ///
    /// # Errors
    /// [`ClientError`]; `consumer_group_not_found`.
    pub async fn dead_letters(
        &self,
        name: &str,
        query: &DeadLettersQuery,
    ) -> Result<DeadLetterPage, ClientError> {
        let path = paths::fill(paths::CONSUMER_GROUP_DEAD_LETTERS, name);
        self.call(Call::new(Method::GET, &path, Repeat::Harmless).query(query)).await
    }

    /// Has dead letters handed out again, those named or all that may be at once. How many.
    ///
    /// # Errors
    /// [`ClientError`]; `consumer_group_not_found`.
    pub async fn replay(&self, name: &str, positions: Option<Vec<u64>>) -> Result<u64, ClientError> {
        let path = paths::fill(paths::CONSUMER_GROUP_REPLAY, name);
        let body = ReplayBody { positions };
        let call = Call::new(Method::POST, &path, Repeat::OnlyIfNothingHappened).body(&body);
        self.call::<_, _, ReplayResult>(call).await.map(|replayed| replayed.replayed)
    }
}

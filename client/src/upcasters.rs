use reqwest::Method;
use serde::de::IgnoredAny;
use weir_api::v1::{RulesResult, UpcastBody, UpcastResult, UpcasterBody, UpcasterList, UpcasterView, paths};

use crate::{Client, ClientError, client::Call, retry::Repeat};

impl Client {
    /// Sets what leads events of a name from a schema version to a later one, in the place of any other.
    ///
    /// # Errors
    /// [`ClientError`]; `upcaster_invalid` says what is wrong with it.
    pub async fn set_upcaster(
        &self,
        name: &str,
        from: u32,
        upcaster: &UpcasterBody,
    ) -> Result<RulesResult, ClientError> {
        let path = paths::upcaster(name, from);
        self.call(Call::new(Method::PUT, &path, Repeat::Harmless).body(upcaster)).await
    }

    /// The upcaster of a name from a schema version.
    ///
    /// # Errors
    /// [`ClientError`]; `upcaster_not_found`.
    pub async fn upcaster(&self, name: &str, from: u32) -> Result<UpcasterView, ClientError> {
        self.call(Call::new(Method::GET, &paths::upcaster(name, from), Repeat::Harmless)).await
    }

    /// All upcasters, in order of names and versions.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn upcasters(&self) -> Result<UpcasterList, ClientError> {
        self.call(Call::new(Method::GET, paths::UPCASTERS, Repeat::Harmless)).await
    }

    /// Removes an upcaster.
    ///
    /// # Errors
    /// [`ClientError`]; `upcaster_not_found`.
    pub async fn delete_upcaster(&self, name: &str, from: u32) -> Result<(), ClientError> {
        let path = paths::upcaster(name, from);
        let call = Call::new(Method::DELETE, &path, Repeat::OnlyIfNothingHappened);
        self.call::<_, _, IgnoredAny>(call).await.map(|_| ())
    }

    /// Tries the upcasters of a name on data, and tells each step.
    ///
    /// # Errors
    /// [`ClientError`]; `upcaster_not_found` where the name has none. A step that fails is no error.
    pub async fn test_upcasters(&self, name: &str, test: &UpcastBody) -> Result<UpcastResult, ClientError> {
        let path = paths::fill(paths::UPCASTER_TEST, name);
        self.call(Call::new(Method::POST, &path, Repeat::Harmless).body(test)).await
    }
}

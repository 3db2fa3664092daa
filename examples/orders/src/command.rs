//! Commands: intent, in the present tense.

use serde::{Deserialize, Serialize};

/// Place an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceOrder {
    /// The order to be.
    pub order_id: String,
    /// Who orders.
    pub customer_id: String,
    /// What, and how many of it.
    pub items: Vec<Wish>,
}

/// One line of an order to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wish {
    /// The product.
    pub product_id: String,
    /// How many, at least 1.
    pub quantity: u32,
}

/// What rides along with a command and is no business of the domain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CommandMetadata {
    /// Made where the command was; the same over every retry.
    pub command_id: String,
    /// Who issued it.
    pub issued_by: String,
    /// The request or workflow that it is part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<String>,
    /// The tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
}

/// What an event's metadata says of where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EventMetadata {
    /// The command that caused it.
    pub causation_id: String,
    /// As the command's, or the command itself.
    pub correlation_id: String,
    /// Who issued the command.
    pub issued_by: String,
    /// The tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<String>,
}

impl From<&CommandMetadata> for EventMetadata {
    fn from(command: &CommandMetadata) -> Self {
        Self {
            causation_id: command.command_id.clone(),
            correlation_id: command.correlation_id.clone().unwrap_or_else(|| command.command_id.clone()),
            issued_by: command.issued_by.clone(),
            tenant_id: command.tenant_id.clone(),
        }
    }
}

//! What an order must know of customers and products, as it is now. An
//! application would ask other services; the answer is frozen into the event.

use crate::order::{Customer, Product};

/// Everybody and everything that there is.
#[derive(Debug, Clone)]
pub struct Catalog {
    customers: Vec<Customer>,
    products: Vec<Product>,
}

impl Default for Catalog {
    fn default() -> Self {
        let customer = |id: &str, name: &str, is_blocked| Customer {
            id: id.into(),
            name: name.into(),
            email: format!("{id}@example.com"),
            is_blocked,
        };
        let product = |id: &str, name: &str, price_cents, is_available| Product {
            id: id.into(),
            name: name.into(),
            price_cents,
            is_available,
        };
        Self {
            customers: vec![
                customer("ada", "Ada Lovelace", false),
                customer("grace", "Grace Hopper", false),
                customer("alan", "Alan Turing", false),
                customer("mallory", "Mallory", true),
            ],
            products: vec![
                product("tea", "Green tea", 450, true),
                product("pot", "Tea pot", 2_900, true),
                product("cup", "Blue cup", 700, false),
            ],
        }
    }
}

impl Catalog {
    /// A customer.
    #[must_use]
    pub fn customer(&self, id: &str) -> Option<&Customer> {
        self.customers.iter().find(|customer| customer.id == id)
    }

    /// A product.
    #[must_use]
    pub fn product(&self, id: &str) -> Option<&Product> {
        self.products.iter().find(|product| product.id == id)
    }
}

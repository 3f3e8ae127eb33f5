//! The services: each file one, with its routes and what it says about what it does.

mod cart;
mod catalog;
mod checkout;
mod gateway;
mod orders;
mod pager;
mod payment;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use axum::Router;
use serde::{Deserialize, Serialize};

use crate::args::Role;
use crate::frame::Frame;
use crate::load;

/// Something to buy.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Product {
    pub(crate) sku: u32,
    pub(crate) name: String,
    pub(crate) cents: u32,
}

/// One product in a cart, and how many of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Item {
    pub(crate) sku: u32,
    pub(crate) quantity: u32,
}

/// What a customer bought.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Order {
    /// A UUID, made by the checkout: a repeated order has the same.
    pub(crate) id: String,
    pub(crate) customer: u32,
    pub(crate) cents: u64,
}

/// What the bank is to take from whom.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Charge {
    /// The order's id: the bank charges an order once.
    pub(crate) order: String,
    pub(crate) customer: u32,
    pub(crate) cents: u64,
}

/// The routes of a role, and the tasks behind them.
pub(crate) fn routes(role: Role, frame: &Arc<Frame>) -> anyhow::Result<Router> {
    Ok(match role {
        Role::Gateway => gateway::routes(frame),
        Role::Catalog => catalog::routes(frame),
        Role::Cart { redis } => cart::routes(frame, &redis)?,
        Role::Checkout => checkout::routes(frame),
        Role::Payment { declined, silent, slow } => {
            payment::routes(frame, payment::Bank::new(declined, silent, slow)?)
        }
        Role::Orders { postgres, postgres_password_file } => {
            orders::routes(frame, &postgres, postgres_password_file.as_deref())?
        }
        Role::Load { customers_per_second } => {
            load::start(frame, customers_per_second)?;
            Router::new()
        }
        Role::Pager => pager::routes(frame),
        Role::Check | Role::Fault { .. } => Router::new(),
    })
}

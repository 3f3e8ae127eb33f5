//! The catalog: products made up from their numbers, so that every run has the same.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Extension, Json, Router};

use super::Product;
use crate::context::Context;
use crate::error::{Failure, Kind};
use crate::frame::Frame;
use crate::log::Level;

/// Stock keeping units are `FIRST_SKU..FIRST_SKU + PRODUCTS`.
pub(crate) const FIRST_SKU: u32 = 1000;
pub(crate) const PRODUCTS: u32 = 60;

const KINDS: [&str; 6] = ["anchor", "compass", "rope", "lantern", "sextant", "oilskin"];
const MAKES: [&str; 10] =
    ["plain", "brass", "tarred", "small", "large", "captain's", "spare", "folding", "galvanised", "antique"];

pub(super) fn routes(frame: &Arc<Frame>) -> Router {
    Router::new()
        .route("/products", get(list))
        .route("/products/{sku}", get(show))
        .with_state(Arc::clone(frame))
}

/// The product with a number, if there is one.
pub(super) fn product(sku: u32) -> Option<Product> {
    let place = sku.checked_sub(FIRST_SKU).filter(|place| *place < PRODUCTS)?;
    let kind = KINDS.get(place as usize % KINDS.len())?;
    let make = MAKES.get(place as usize / KINDS.len())?;
    Some(Product { sku, name: format!("{make} {kind}"), cents: 450 + (place * 7919) % 9_000 })
}

async fn list(State(frame): State<Arc<Frame>>, Extension(context): Extension<Context>) -> Json<Vec<Product>> {
    let products: Vec<Product> = (FIRST_SKU..FIRST_SKU + PRODUCTS).filter_map(product).collect();
    frame.logger.request(Level::Debug, &context, "products listed", &[("products", products.len().into())]);
    Json(products)
}

async fn show(
    State(frame): State<Arc<Frame>>,
    Extension(context): Extension<Context>,
    Path(sku): Path<u32>,
) -> Result<Json<Product>, Failure> {
    let Some(product) = product(sku) else {
        frame.logger.request(Level::Warn, &context, "no such product", &[("sku", sku.into())]);
        return Err(Failure::new(Kind::NotFound, format!("there is no product {sku}")));
    };
    Ok(Json(product))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_are_distinct_and_have_a_price() {
        let products: Vec<Product> = (FIRST_SKU..FIRST_SKU + PRODUCTS).filter_map(product).collect();
        assert_eq!(products.len(), PRODUCTS as usize);
        let names: std::collections::HashSet<&str> =
            products.iter().map(|product| product.name.as_str()).collect();
        assert_eq!(names.len(), products.len());
        assert!(products.iter().all(|product| product.cents > 0));
        assert_eq!(product(FIRST_SKU - 1), None);
        assert_eq!(product(FIRST_SKU + PRODUCTS), None);
    }
}

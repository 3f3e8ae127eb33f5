//! Carts: a Redis hash a customer, forgotten after an hour.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use redis::AsyncCommands;
use redis::aio::ConnectionManager;

use super::Item;
use crate::context::Context;
use crate::dependency;
use crate::error::{Failure, Kind};
use crate::frame::Frame;
use crate::log::Level;

const FORGET_AFTER_SECONDS: i64 = 3600;
const MAX_QUANTITY: u32 = 99;

#[derive(Clone)]
struct Carts {
    frame: Arc<Frame>,
    redis: ConnectionManager,
}

pub(super) fn routes(frame: &Arc<Frame>, url: &str) -> anyhow::Result<Router> {
    let redis = dependency::redis(url)?;
    dependency::watch_redis(frame, redis.clone());
    let carts = Carts { frame: Arc::clone(frame), redis };
    Ok(Router::new()
        .route("/carts/{customer}", get(show).delete(empty))
        .route("/carts/{customer}/items", post(add))
        .with_state(carts))
}

async fn show(State(mut carts): State<Carts>, Path(customer): Path<u32>) -> Result<Json<Vec<Item>>, Failure> {
    let quantities: Vec<(u32, u32)> =
        carts.redis.hgetall(key(customer)).await.map_err(|error| failed(&error))?;
    let mut items: Vec<Item> = quantities.into_iter().map(|(sku, quantity)| Item { sku, quantity }).collect();
    items.sort_unstable_by_key(|item| item.sku);
    Ok(Json(items))
}

async fn add(
    State(mut carts): State<Carts>,
    Extension(context): Extension<Context>,
    Path(customer): Path<u32>,
    Json(item): Json<Item>,
) -> Result<Json<Item>, Failure> {
    if !(1..=MAX_QUANTITY).contains(&item.quantity) {
        return Err(Failure::new(Kind::Invalid, format!("`quantity` must be from 1 to {MAX_QUANTITY}")));
    }
    // Set, not added up: a repeated request changes nothing.
    let mut pipe = redis::pipe();
    pipe.hset(key(customer), item.sku, item.quantity)
        .ignore()
        .expire(key(customer), FORGET_AFTER_SECONDS)
        .ignore();
    pipe.query_async::<()>(&mut carts.redis).await.map_err(|error| failed(&error))?;
    let fields =
        [("customer", customer.into()), ("sku", item.sku.into()), ("quantity", item.quantity.into())];
    carts.frame.logger.request(Level::Info, &context, "item added", &fields);
    Ok(Json(item))
}

async fn empty(State(mut carts): State<Carts>, Path(customer): Path<u32>) -> Result<Json<()>, Failure> {
    carts.redis.del::<_, ()>(key(customer)).await.map_err(|error| failed(&error))?;
    Ok(Json(()))
}

fn key(customer: u32) -> String {
    format!("cart:{customer}")
}

#[track_caller]
fn failed(error: &redis::RedisError) -> Failure {
    Failure::new(Kind::Database, format!("redis: {error}"))
}

//! Orders in PostgreSQL. An order that comes again is stored once.

use std::path::Path as FilePath;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Extension, Json, Router};

use super::Order;
use crate::context::Context;
use crate::dependency::{self, Postgres, within};
use crate::error::{Failure, Kind};
use crate::frame::Frame;
use crate::log::Level;

/// `cents` as text of the wire is 8 bytes wide: more than any cart can hold.
const SCHEMA: &str = "CREATE TABLE IF NOT EXISTS orders (
    id text PRIMARY KEY,
    customer bigint NOT NULL,
    cents bigint NOT NULL,
    placed_at timestamptz NOT NULL DEFAULT now()
)";

#[derive(Clone)]
struct Orders {
    frame: Arc<Frame>,
    postgres: Arc<Postgres>,
}

pub(super) fn routes(frame: &Arc<Frame>, url: &str, password: Option<&FilePath>) -> anyhow::Result<Router> {
    let postgres = Arc::new(Postgres::new(url, password, SCHEMA, frame.tasks.clone())?);
    dependency::watch_postgres(frame, Arc::clone(&postgres));
    Ok(Router::new()
        .route("/orders", post(place))
        .route("/orders/{id}", get(show))
        .with_state(Orders { frame: Arc::clone(frame), postgres }))
}

async fn place(
    State(orders): State<Orders>,
    Extension(context): Extension<Context>,
    Json(order): Json<Order>,
) -> Result<(StatusCode, Json<Order>), Failure> {
    let cents = i64::try_from(order.cents)
        .map_err(|_| Failure::new(Kind::Invalid, "`cents` is more than there is"))?;
    let client = orders.postgres.client().await?;
    let statement =
        "INSERT INTO orders (id, customer, cents) VALUES ($1, $2, $3) ON CONFLICT (id) DO NOTHING";
    let customer = i64::from(order.customer);
    let stored = within("insert", client.execute(statement, &[&order.id, &customer, &cents])).await?;
    let fields = [
        ("order", order.id.as_str().into()),
        ("customer", order.customer.into()),
        ("cents", order.cents.into()),
    ];
    if stored == 0 {
        orders.frame.logger.request(Level::Info, &context, "order was stored before", &fields);
        return Ok((StatusCode::OK, Json(order)));
    }
    orders.frame.metrics.orders.inc();
    orders.frame.metrics.order_cents.observe(order.cents as f64);
    orders.frame.logger.request(Level::Info, &context, "order stored", &fields);
    Ok((StatusCode::CREATED, Json(order)))
}

async fn show(State(orders): State<Orders>, Path(id): Path<String>) -> Result<Json<Order>, Failure> {
    let client = orders.postgres.client().await?;
    let query = "SELECT customer, cents FROM orders WHERE id = $1";
    let row = within("select", client.query_opt(query, &[&id])).await?;
    let Some(row) = row else {
        return Err(Failure::new(Kind::NotFound, format!("there is no order `{id}`")));
    };
    let unreadable = |error| Failure::new(Kind::Database, format!("postgres: order `{id}`: {error}"));
    let customer: i64 = row.try_get(0).map_err(unreadable)?;
    let cents: i64 = row.try_get(1).map_err(unreadable)?;
    let order = Order {
        customer: u32::try_from(customer).unwrap_or_default(),
        cents: u64::try_from(cents).unwrap_or_default(),
        id,
    };
    Ok(Json(order))
}

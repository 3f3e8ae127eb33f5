//! What was typed, or set in the environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Parser, Subcommand};

/// The lab's demo shop: services to watch, and to break.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Args {
    /// Address of this service. Whoever reaches it can break it.
    #[arg(long, global = true, env = "SHOP_LISTEN", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) node: Node,
    #[command(subcommand)]
    pub(crate) role: Role,
}

/// What all services know of each other.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Node {
    /// Where the other services answer; `{}` stands for the service's name.
    #[arg(long, global = true, env = "SHOP_UPSTREAM", default_value = "http://{}:8080")]
    pub(crate) upstream: String,
    /// Seed of everything random: ids, payments, back-off.
    #[arg(long, global = true, env = "SHOP_SEED")]
    pub(crate) seed: Option<u64>,
}

/// What this process is.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Role {
    /// Takes the customers' requests and hands them on.
    Gateway,
    /// Knows the products.
    Catalog,
    /// Keeps what customers want to buy, in Redis.
    Cart {
        /// Address of Redis.
        #[arg(long, env = "SHOP_REDIS", default_value = "redis://redis:6379")]
        redis: String,
    },
    /// Turns carts into orders.
    Checkout,
    /// Charges cards at a bank that declines, dawdles and is silent at times.
    Payment {
        /// Part of the charges that the bank declines, 0 to 1.
        #[arg(long, env = "SHOP_DECLINED", default_value_t = 0.04)]
        declined: f64,
        /// Part of the charges that the bank does not answer, 0 to 1.
        #[arg(long, env = "SHOP_SILENT", default_value_t = 0.004)]
        silent: f64,
        /// Part of the charges that take the bank a second, 0 to 1.
        #[arg(long, env = "SHOP_SLOW", default_value_t = 0.04)]
        slow: f64,
    },
    /// Stores orders, in PostgreSQL.
    Orders {
        /// Address of PostgreSQL, without the password.
        #[arg(long, env = "SHOP_POSTGRES", default_value = "postgresql://shop@postgres:5432/shop")]
        postgres: String,
        /// File that holds the password.
        #[arg(long, env = "SHOP_POSTGRES_PASSWORD_FILE")]
        postgres_password_file: Option<PathBuf>,
    },
    /// Plays customers: the same seed plays the same customers.
    Load {
        /// New customers a second.
        #[arg(long, env = "SHOP_CUSTOMERS_PER_SECOND", default_value_t = 1.0)]
        customers_per_second: f64,
    },
    /// Takes Alertmanager's notifications and logs each alert.
    Pager,
    /// Asks the service in this container whether it is ready: for health checks.
    Check,
    /// Breaks the service in this container: `latency_ms=500 error_rate=0.2`; without arguments mends it.
    Fault {
        /// `latency_ms=`, `error_rate=`, `leak_bytes_per_second=`, `log_burst_lines=`, `crash=true`.
        changes: Vec<String>,
    },
}

impl Role {
    /// Name of the service, as in its logs and metrics.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Catalog => "catalog",
            Self::Cart { .. } => "cart",
            Self::Checkout => "checkout",
            Self::Payment { .. } => "payment",
            Self::Orders { .. } => "orders",
            Self::Load { .. } => "load",
            Self::Pager => "pager",
            Self::Check => "check",
            Self::Fault { .. } => "fault",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_holds_together() {
        use clap::CommandFactory;
        Args::command().debug_assert();
    }

    #[test]
    fn flags_that_all_roles_share_may_stand_after_the_role() {
        let args = Args::try_parse_from(["shop", "gateway", "--listen", "127.0.0.1:1"]).unwrap();
        assert_eq!((args.role.name(), args.listen.port()), ("gateway", 1));
    }
}

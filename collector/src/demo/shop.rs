//! The shop: its services, and the tree of calls that one customer's request makes.
//!
//! Times are nanoseconds since the epoch. A call lies within its caller's time.

use super::random::Random;

/// A service of the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Takes the customers' requests.
    Gateway,
    /// Knows the products.
    Catalog,
    /// Keeps what customers want to buy.
    Cart,
    /// Turns carts into orders.
    Checkout,
    /// Talks to the bank.
    Payment,
    /// Stores orders.
    Orders,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Gateway, Self::Catalog, Self::Cart, Self::Checkout, Self::Payment, Self::Orders];

    /// The name of its container's service.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Catalog => "catalog",
            Self::Cart => "cart",
            Self::Checkout => "checkout",
            Self::Payment => "payment",
            Self::Orders => "orders",
        }
    }
}

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it should.
    Done,
    /// The bank said no: the customer is told, nothing is broken.
    Declined,
    /// It failed, or something it called did.
    Failed,
}

/// One service's part in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who did it.
    pub service: Service,
    /// What was asked, `POST /checkout`.
    pub operation: String,
    /// Place of the caller in [`Request::calls`]; the first call has none.
    pub parent: Option<usize>,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// When it began.
    pub start_ns: i64,
    /// When it ended.
    pub end_ns: i64,
    /// What came of it.
    pub outcome: Outcome,
}

/// A customer's request with everything it caused: the truth that the lines tell parts of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// A UUID; the only id that [`Service::Cart`] and [`Service::Checkout`] log.
    pub correlation_id: String,
    /// Callers before those they call.
    pub calls: Vec<Call>,
    /// The product in question.
    pub sku: u64,
    /// Who asks.
    pub customer: u64,
}

const PAYMENT_DECLINED: f64 = 0.04;
const BANK_SILENT: f64 = 0.02;
const BANK_SLOW: f64 = 0.06;
const CATALOG_BROKEN: f64 = 0.004;

/// The request of a customer who comes at `start_ns`.
pub(super) fn request(random: &mut Random, start_ns: i64) -> Request {
    let mut request = Request {
        trace_id: random.hex(32),
        correlation_id: random.uuid(),
        calls: Vec::new(),
        sku: 1000 + random.below(400),
        customer: 1 + random.below(5000),
    };
    let kind = random.unit();
    let mut plan = Plan { random, request: &mut request };
    if kind < 0.6 {
        plan.browse(start_ns);
    } else if kind < 0.85 {
        plan.add_to_cart(start_ns);
    } else {
        plan.check_out(start_ns);
    }
    request
}

/// Adds the calls of a request one after another.
struct Plan<'a> {
    random: &'a mut Random,
    request: &'a mut Request,
}

impl Plan<'_> {
    fn browse(&mut self, start_ns: i64) {
        let path = format!("GET /products/{}", self.request.sku);
        let gateway = self.begin(Service::Gateway, path.clone(), None, start_ns);
        let (end_ns, outcome) = self.catalog(gateway, &path, start_ns);
        self.end_after(gateway, end_ns, outcome);
    }

    fn add_to_cart(&mut self, start_ns: i64) {
        let gateway = self.begin(Service::Gateway, "POST /cart/items".to_owned(), None, start_ns);
        let start_ns = start_ns + self.random.latency_ns(0.8);
        let cart = self.begin(Service::Cart, "POST /items".to_owned(), Some(gateway), start_ns);
        let path = format!("GET /products/{}", self.request.sku);
        let (end_ns, outcome) = self.catalog(cart, &path, start_ns);
        let end_ns = self.end_after(cart, end_ns, outcome);
        self.end_after(gateway, end_ns, outcome);
    }

    fn check_out(&mut self, start_ns: i64) {
        let gateway = self.begin(Service::Gateway, "POST /checkout".to_owned(), None, start_ns);
        let start_ns = start_ns + self.random.latency_ns(0.8);
        let checkout = self.begin(Service::Checkout, "POST /checkout".to_owned(), Some(gateway), start_ns);
        let (cart_end_ns, _) = self.leaf(Service::Cart, "GET /cart", checkout, start_ns, 3.0);
        let (mut end_ns, outcome) = self.payment(checkout, cart_end_ns);
        if outcome == Outcome::Done {
            (end_ns, _) = self.leaf(Service::Orders, "POST /orders", checkout, end_ns, 9.0);
        }
        let end_ns = self.end_after(checkout, end_ns, outcome);
        self.end_after(gateway, end_ns, outcome);
    }

    fn catalog(&mut self, parent: usize, operation: &str, after_ns: i64) -> (i64, Outcome) {
        let (end_ns, _) = self.leaf(Service::Catalog, operation, parent, after_ns, 6.0);
        let outcome = if self.random.chance(CATALOG_BROKEN) { Outcome::Failed } else { Outcome::Done };
        if let Some(call) = self.request.calls.last_mut() {
            call.outcome = outcome;
        }
        (end_ns, outcome)
    }

    fn payment(&mut self, parent: usize, after_ns: i64) -> (i64, Outcome) {
        let (typical_ms, outcome) = if self.random.chance(BANK_SILENT) {
            (3_000.0, Outcome::Failed)
        } else if self.random.chance(PAYMENT_DECLINED) {
            (90.0, Outcome::Declined)
        } else if self.random.chance(BANK_SLOW) {
            (1_400.0, Outcome::Done)
        } else {
            (80.0, Outcome::Done)
        };
        let (end_ns, _) = self.leaf(Service::Payment, "POST /charges", parent, after_ns, typical_ms);
        if let Some(call) = self.request.calls.last_mut() {
            call.outcome = outcome;
        }
        (end_ns, outcome)
    }

    /// A call that calls nobody.
    fn leaf(
        &mut self,
        service: Service,
        operation: &str,
        parent: usize,
        after_ns: i64,
        typical_ms: f64,
    ) -> (i64, Outcome) {
        let start_ns = after_ns + self.random.latency_ns(0.5);
        let call = self.begin(service, operation.to_owned(), Some(parent), start_ns);
        let end_ns = start_ns + self.random.latency_ns(typical_ms);
        self.request.calls[call].end_ns = end_ns;
        (end_ns, Outcome::Done)
    }

    fn begin(&mut self, service: Service, operation: String, parent: Option<usize>, start_ns: i64) -> usize {
        let span_id = self.random.hex(16);
        let call =
            Call { service, operation, parent, span_id, start_ns, end_ns: start_ns, outcome: Outcome::Done };
        self.request.calls.push(call);
        self.request.calls.len() - 1
    }

    /// Ends a call some time after its last callee.
    fn end_after(&mut self, call: usize, callee_end_ns: i64, outcome: Outcome) -> i64 {
        let end_ns = callee_end_ns + self.random.latency_ns(1.2);
        self.request.calls[call].end_ns = end_ns;
        self.request.calls[call].outcome = outcome;
        end_ns
    }
}

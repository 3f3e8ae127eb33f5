//! D1: plain text as sixteen kinds of software write it, each in a container of its own.
//!
//! Every number, address and id is drawn anew from the range of its place; nothing repeats by cycling.

use std::fmt::Write;

use jiff::Timestamp;

use crate::random::Random;
use crate::sets::{BEGIN_US, Origin};

/// Microseconds between two lines at most: ten thousand lines a second.
const MAX_STEP_US: u64 = 199;
/// Names of hosts, users, tables and the like.
const NAMES: u64 = 400;
const SYLLABLES: [&str; 16] = [
    "ba", "ker", "lin", "mo", "ta", "rus", "vel", "den", "so", "pi", "nor", "cha", "wes", "tor", "ely", "qua",
];

/// A kind of software: how often of a hundred it logs, and its lines, the first the most frequent.
///
/// `<...>` is drawn for each line: `<7-90>` a number of that range, `<~90>` one below it, small ones more often, `<ip>`,
/// `<hex8>` so many digits, `<name>`, `<a|b>` one of these, `<%H:%M>` the time (strftime).
struct Source {
    service: &'static str,
    share: u64,
    lines: &'static [&'static str],
}

const SOURCES: [Source; 16] = [
    Source {
        service: "web",
        share: 18,
        lines: &[
            r#"<ip> - - [<%d/%b/%Y:%H:%M:%S +0000>] "GET /<shop|blog|static|img>/<name>/<~9000> HTTP/1.1" <200|200|200|304|404> <~60000> "https://example.org/<name>" "Mozilla/5.0 (X11; Linux x86_64; rv:<100-140>.0) Gecko/20100101 Firefox/<100-140>.0""#,
            r#"<ip> - <name> [<%d/%b/%Y:%H:%M:%S +0000>] "POST /api/<cart|orders|login> HTTP/1.1" <200|201|201|400|403|500> <~4000> "-" "okhttp/4.<1-12>.<0-9>""#,
        ],
    },
    Source {
        service: "proxy",
        share: 10,
        lines: &[
            "<ip>:<1024-65535> [<%d/%b/%Y:%H:%M:%S.%3f>] https-in~ shop/<name>-<1-8> <~9>/0/<~40>/<~900>/<~1000> <200|200|200|204|302|503> <~90000> - - ---- <~400>/<~300>/<~90>/<~20>/0 0/0 \"GET /<name>/<~50000> HTTP/2.0\"",
        ],
    },
    Source {
        service: "datanode",
        share: 10,
        lines: &[
            "<%y%m%d %H%M%S> <1-5000> INFO storage.BlockReceiver: stored replica blk_<1000000000-9999999999> of size <1000-67108864> from /<ip>",
            "<%y%m%d %H%M%S> <1-5000> INFO storage.PacketWriter: packet writer <0-3> for replica blk_<1000000000-9999999999> is done",
            "<%y%m%d %H%M%S> <1-5000> WARN storage.Server: cannot send replica blk_<1000000000-9999999999> to /<ip>:<1024-65535>: connection reset",
        ],
    },
    Source {
        service: "orders",
        share: 8,
        lines: &[
            "<%Y-%m-%d %H:%M:%S,%3f> INFO  [http-exec-<1-64>] c.e.orders.<OrderService|PriceService|StockClient> - order <100000-999999> of customer <~80000> accepted in <~900> ms",
            "<%Y-%m-%d %H:%M:%S,%3f> DEBUG [http-exec-<1-64>] c.e.orders.Repository - loaded <~40> rows for <name> in <~90> ms",
            "<%Y-%m-%d %H:%M:%S,%3f> WARN  [scheduler-<1-4>] c.e.orders.StockClient - stock of <name> unknown after <1-5> tries, next in <1-60> s",
            "<%Y-%m-%d %H:%M:%S,%3f> ERROR [http-exec-<1-64>] c.e.orders.Checkout - payment <hex12> of order <100000-999999> failed: card declined",
        ],
    },
    Source {
        service: "ssh",
        share: 6,
        lines: &[
            "<%b %e %H:%M:%S> bastion sshd[<300-32000>]: Failed password for invalid user <name> from <ip> port <1024-65535> ssh2",
            "<%b %e %H:%M:%S> bastion sshd[<300-32000>]: Received disconnect from <ip>: 11: Bye Bye [preauth]",
            "<%b %e %H:%M:%S> bastion sshd[<300-32000>]: Accepted publickey for <name> from <ip> port <1024-65535> ssh2: ED25519 SHA256:<hex32>",
        ],
    },
    Source {
        service: "kernel",
        share: 5,
        lines: &[
            "[<1000-9999999>.<100000-999999>] docker0: port <1-64>(veth<hex7>) entered <blocking|disabled|forwarding> state",
            "[<1000-9999999>.<100000-999999>] device veth<hex7> <entered|left> promiscuous mode",
            "[<1000-9999999>.<100000-999999>] oom-kill: task <name> (<300-32000>) total-vm:<100000-9000000>kB, anon-rss:<100000-4000000>kB",
        ],
    },
    Source {
        service: "postgres",
        share: 8,
        lines: &[
            "<%Y-%m-%d %H:%M:%S.%3f UTC> [<300-32000>] <name>@shop LOG:  duration: <~5000>.<100-999> ms  statement: SELECT id, price FROM <name> WHERE id = <~900000> AND region = '<eu|us|ap>'",
            "<%Y-%m-%d %H:%M:%S.%3f UTC> [<300-32000>] LOG:  checkpoint complete: wrote <~16000> buffers (<0-99>.<0-9>%); write=<~30>.<100-999> s, sync=0.<100-999> s",
            "<%Y-%m-%d %H:%M:%S.%3f UTC> [<300-32000>] <name>@shop ERROR:  duplicate key value violates unique constraint \"<name>_pkey\"",
        ],
    },
    Source {
        service: "redis",
        share: 4,
        lines: &[
            "<1-40>:M <%d %b %Y %H:%M:%S.%3f> * <1-99> changes in <60|300> seconds. Saving...",
            "<1-40>:M <%d %b %Y %H:%M:%S.%3f> * Background saving started by pid <300-32000>",
            "<1-40>:C <%d %b %Y %H:%M:%S.%3f> * Fork CoW for RDB: current <1-90> MB, peak <1-90> MB, average <1-90> MB",
        ],
    },
    Source {
        service: "scheduler",
        share: 6,
        lines: &[
            "I<%m%d %H:%M:%S.%6f>       1 scheduler.go:<100-900>] \"Bound pod to node\" pod=\"<name>/<name>-<hex10>-<hex5>\" node=\"node-<1-64>\" feasible=<1-64>",
            "W<%m%d %H:%M:%S.%6f>       1 reflector.go:<100-900>] watch of <Pod|Node|ConfigMap|Secret> ended with: too old resource version: <100000-9999999>",
        ],
    },
    Source {
        service: "worker",
        share: 6,
        lines: &[
            "[<%Y-%m-%d %H:%M:%S,%3f>: INFO/ForkPoolWorker-<1-16>] Task shop.tasks.<send_mail|resize|index>[<hex8>-<hex4>-<hex4>-<hex4>-<hex12>] succeeded in <~20>.<1000000-9999999>s: None",
            "[<%Y-%m-%d %H:%M:%S,%3f>: INFO/MainProcess] Task shop.tasks.<send_mail|resize|index>[<hex8>-<hex4>-<hex4>-<hex4>-<hex12>] received",
        ],
    },
    Source {
        service: "quorum",
        share: 4,
        lines: &[
            "<%Y-%m-%d %H:%M:%S,%3f> - INFO  [Acceptor<0-3>:<ip>:2181] - accepted connection from /<ip>:<1024-65535>",
            "<%Y-%m-%d %H:%M:%S,%3f> - WARN  [Worker-<1-8>] - end of stream: client of session 0x<hex16> has closed its socket",
        ],
    },
    Source {
        service: "dns",
        share: 4,
        lines: &[
            "<%d-%b-%Y %H:%M:%S.%3f> queries: info: client @0x<hex12> <ip>#<1024-65535> (<name>.example.com): query: <name>.example.com IN <A|AAAA|MX> +E(0)K (10.0.0.<2-5>)",
        ],
    },
    Source {
        service: "mail",
        share: 4,
        lines: &[
            "<%b %e %H:%M:%S> mx postfix/smtp[<300-32000>]: <hex10>: to=<name>@example.com, relay=mx<1-4>.example.com[<ip>]:25, delay=<~30>.<0-9>, dsn=2.0.0, status=sent (250 ok <hex12>)",
            "<%b %e %H:%M:%S> mx postfix/qmgr[<300-32000>]: <hex10>: from=<name>@example.org, size=<500-90000>, nrcpt=<1-4> (queue active)",
        ],
    },
    Source {
        service: "cron",
        share: 2,
        lines: &[
            "<%b %e %H:%M:%S> host CRON[<300-32000>]: (<root|www-data|backup>) CMD (/usr/local/bin/<name> --batch <1-500>)",
        ],
    },
    Source {
        service: "trainer",
        share: 3,
        lines: &[
            "epoch <0-40> step <1-90000> loss <0-3>.<10000-99999> lr 0.000<100-999> grad_norm <0-9>.<100-999> tokens/s <10000-90000>",
        ],
    },
    Source {
        service: "console",
        share: 2,
        lines: &[
            "<%H:%M:%S.%3f> <VERBOSE|INFO|WARNING> session <name> (<ip>) sent <~40> frames, rtt <~400> ms, queue <~9>",
            "<%H:%M:%S.%3f> INFO session <name> ended: <timeout|closed by peer|kicked>",
        ],
    },
];

/// What stands in a line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(&'static str),
    Between(u64, u64),
    Below(u64),
    Address,
    Hex(usize),
    Name,
    OneOf(Vec<&'static str>),
    Time(&'static str),
}

/// Makes lines one after the other.
#[derive(Debug)]
pub(crate) struct Plain {
    random: Random,
    names: Vec<String>,
    /// The pieces of the lines of each source.
    lines: Vec<Vec<Vec<Piece>>>,
    time_us: i64,
}

impl Plain {
    pub(crate) fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let name = |random: &mut Random| (0..2 + random.below(3)).map(|_| *random.pick(&SYLLABLES)).collect();
        let names = (0..NAMES).map(|_| name(&mut random)).collect();
        let lines =
            SOURCES.iter().map(|source| source.lines.iter().map(|line| pieces(line)).collect()).collect();
        Self { random, names, lines, time_us: BEGIN_US }
    }

    /// Appends the next line, without its end.
    pub(crate) fn line(&mut self, out: &mut String) -> Origin {
        self.time_us += self.random.between(1, MAX_STEP_US).cast_signed();
        let mut draw = self.random.below(100);
        let mut chosen = 0;
        while draw >= SOURCES[chosen].share {
            draw -= SOURCES[chosen].share;
            chosen += 1;
        }
        let lines = &self.lines[chosen];
        let line = &lines[self.random.skewed(lines.len() as u64) as usize];
        let time = Timestamp::from_microsecond(self.time_us).unwrap_or_default();
        let random = &mut self.random;
        for piece in line {
            let written = match piece {
                Piece::Text(text) => write!(out, "{text}"),
                Piece::Between(low, high) => write!(out, "{}", random.between(*low, *high)),
                Piece::Below(n) => write!(out, "{}", random.skewed(*n)),
                Piece::Address => {
                    write!(out, "10.{}.{}.{}", random.below(8), random.below(256), random.below(256))
                }
                Piece::Hex(digits) => write!(out, "{:0digits$x}", hex(random, *digits)),
                Piece::Name => write!(out, "{}", self.names[random.skewed(NAMES) as usize]),
                Piece::OneOf(all) => write!(out, "{}", random.pick(all)),
                Piece::Time(format) => write!(out, "{}", time.strftime(format)),
            };
            written.expect("a string takes any text");
        }
        Origin { time_us: self.time_us, service: SOURCES[chosen].service, container: None }
    }
}

/// A number of so many hexadecimal digits, at most 32.
fn hex(random: &mut Random, digits: usize) -> u128 {
    let number = u128::from(random.next()) << 64 | u128::from(random.next());
    number >> (128 - 4 * digits)
}

/// Reads the notation of [`Source`].
fn pieces(mut line: &'static str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while let Some((text, rest)) = line.split_once('<') {
        let (drawn, rest) = rest.split_once('>').expect("BUG: `<` without `>`");
        pieces.push(Piece::Text(text));
        pieces.push(piece(drawn));
        line = rest;
    }
    pieces.push(Piece::Text(line));
    pieces
}

fn piece(drawn: &'static str) -> Piece {
    let number = |text: &str| text.parse().expect("BUG: no number");
    if drawn.starts_with('%') {
        return Piece::Time(drawn);
    }
    if drawn.contains('|') {
        return Piece::OneOf(drawn.split('|').collect());
    }
    if let Some(n) = drawn.strip_prefix('~') {
        return Piece::Below(number(n));
    }
    if let Some(digits) = drawn.strip_prefix("hex") {
        return Piece::Hex(number(digits) as usize);
    }
    match (drawn, drawn.split_once('-')) {
        ("ip", _) => Piece::Address,
        ("name", _) => Piece::Name,
        (_, Some((low, high))) => Piece::Between(number(low), number(high)),
        _ => panic!("BUG: nothing is drawn by `{drawn}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_hundredths() {
        assert_eq!(SOURCES.iter().map(|source| source.share).sum::<u64>(), 100);
    }

    #[test]
    fn lines_hold_what_is_drawn() {
        assert_eq!(
            pieces("at <%H:%M> <a|b> <7-90>.<~3> <ip>"),
            [
                Piece::Text("at "),
                Piece::Time("%H:%M"),
                Piece::Text(" "),
                Piece::OneOf(vec!["a", "b"]),
                Piece::Text(" "),
                Piece::Between(7, 90),
                Piece::Text("."),
                Piece::Below(3),
                Piece::Text(" "),
                Piece::Address,
                Piece::Text(""),
            ]
        );
    }
}

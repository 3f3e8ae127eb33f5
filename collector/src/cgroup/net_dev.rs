//! `/proc/<pid>/net/dev`: the interfaces of a process's network namespace.

use crate::stats::{Interface, Traffic};

/// The interfaces cAdvisor would show, by name; lines that cannot be read are left out.
#[must_use]
pub fn interfaces(net_dev: &str) -> Vec<Interface> {
    let mut interfaces: Vec<Interface> = net_dev.lines().filter_map(interface).collect();
    interfaces.sort_by(|a, b| a.name.cmp(&b.name));
    interfaces
}

/// `name: rx_bytes packets errs drop fifo frame compressed multicast tx_bytes packets errs drop ...`
fn interface(line: &str) -> Option<Interface> {
    let (name, numbers) = line.split_once(':')?;
    let name = name.trim();
    if !Interface::is_shown(name) {
        return None;
    }
    let numbers: Vec<u64> = numbers.split_ascii_whitespace().map_while(|n| n.parse().ok()).collect();
    let direction = |first: usize| {
        Some(Traffic {
            bytes: *numbers.get(first)?,
            packets: *numbers.get(first + 1)?,
            errors: *numbers.get(first + 2)?,
            dropped: *numbers.get(first + 3)?,
        })
    };
    Some(Interface { name: name.to_owned(), received: direction(0)?, sent: direction(8)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_read_and_loopback_is_not() {
        let text = "\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:      11       1    0    0    0     0          0         0       11       1    0    0    0     0       0          0
  eth1: 5 6 7 8 0 0 0 0 9 10 11 12 0 0 0 0
  eth0:     900      10    1    2    0     0          0         0      420       6    3    4    0     0       0          0
vethab: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0
  bad0: 1 2 x
";
        let found = interfaces(text);
        assert_eq!(found.iter().map(|i| i.name.as_str()).collect::<Vec<_>>(), ["eth0", "eth1"]);
        assert_eq!(found[0].received, Traffic { bytes: 900, packets: 10, errors: 1, dropped: 2 });
        assert_eq!(found[0].sent, Traffic { bytes: 420, packets: 6, errors: 3, dropped: 4 });
    }
}

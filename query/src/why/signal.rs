//! Signals: their names, and which of them end a process that does not ask otherwise.

/// Name and meaning of signals met in exit codes (128 + number) and in `docker kill`.
const SIGNALS: [(u32, &str, &str); 14] = [
    (1, "SIGHUP", "hang up"),
    (2, "SIGINT", "interrupt"),
    (3, "SIGQUIT", "quit"),
    (4, "SIGILL", "illegal instruction"),
    (5, "SIGTRAP", "trap"),
    (6, "SIGABRT", "abort, as after a failed assertion or a detected memory error"),
    (7, "SIGBUS", "bus error"),
    (8, "SIGFPE", "arithmetic error, as a division by zero"),
    (9, "SIGKILL", "kill"),
    (11, "SIGSEGV", "segmentation fault"),
    (13, "SIGPIPE", "write to a closed pipe"),
    (15, "SIGTERM", "terminate"),
    (25, "SIGXFSZ", "file size limit"),
    (31, "SIGSYS", "forbidden system call"),
];

/// `SIGKILL`; a number that has no name here is `signal 40`.
pub(super) fn name(signal: u32) -> String {
    let known = SIGNALS.iter().find(|(number, ..)| *number == signal);
    known.map_or_else(|| format!("signal {signal}"), |(_, name, _)| (*name).to_owned())
}

/// What the signal means.
pub(super) fn meaning(signal: u32) -> &'static str {
    SIGNALS.iter().find(|(number, ..)| *number == signal).map_or("", |(_, _, meaning)| meaning)
}

/// The signal that an exit code tells of.
pub(super) fn of_exit_code(code: i64) -> Option<u32> {
    u32::try_from(code - 128).ok().filter(|signal| (1..=64).contains(signal))
}

/// Whether a program brings this signal upon itself.
pub(super) const fn is_fault(signal: u32) -> bool {
    matches!(signal, 4 | 5 | 6 | 7 | 8 | 11 | 13 | 25 | 31)
}

/// Whether people and tools use this signal to end a program.
pub(super) const fn is_request_to_end(signal: u32) -> bool {
    matches!(signal, 2 | 3 | 9 | 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_tell_of_signals() {
        assert_eq!(of_exit_code(137).map(name).as_deref(), Some("SIGKILL"));
        assert_eq!(of_exit_code(139).map(meaning), Some("segmentation fault"));
        assert_eq!(of_exit_code(168).map(name).as_deref(), Some("signal 40"));
        for code in [0, 1, 127, 128, 255, -1, i64::MIN / 2] {
            assert_eq!(of_exit_code(code), None, "{code}");
        }
    }
}

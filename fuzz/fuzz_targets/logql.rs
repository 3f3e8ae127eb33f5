//! LogQL of any text: no panic, and what parses prints as text that parses to the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use query::logql::parse;

fuzz_target!(|text: &str| {
    if let Ok(expr) = parse(text) {
        let printed = expr.to_string();
        // NaN and infinities, which only folding makes, have no notation
        if !printed.contains("NaN") && !printed.contains("Inf") {
            assert_eq!(parse(&printed).as_ref(), Ok(&expr), "{printed}");
        }
    }
});

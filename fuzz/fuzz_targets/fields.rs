//! Fields of any bytes: no panic, and what `get` finds is what the walk shows first.
#![no_main]

use std::ops::ControlFlow;

use libfuzzer_sys::fuzz_target;
use store::fields::{self, Shape};

fuzz_target!(|line: &[u8]| {
    for shape in [Shape::Json, Shape::Logfmt, Shape::Access, Shape::Plain] {
        fields::for_each(line, shape, |_, value| {
            assert!(value.text().len() <= 3 * line.len() + 5);
            ControlFlow::Continue(())
        });
    }
    let mut first = None;
    fields::for_each(line, Shape::detect(line), |path, value| {
        first = Some((path.to_owned(), value.text().into_owned()));
        ControlFlow::Break(())
    });
    if let Some((path, text)) = first {
        assert_eq!(fields::get(line, &path), Some(text));
    }
});

//! Values in time as one line of bars, from nothing to the largest of them.

use std::fmt;

/// Most columns; further values share one, the largest of them being shown.
pub(crate) const WIDTH: usize = 72;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// One line of bars. A place without a value stays blank.
#[derive(Debug)]
pub(crate) struct Sparkline {
    values: Vec<Option<f64>>,
}

impl Sparkline {
    /// A line with so many places.
    pub(crate) fn new(places: usize) -> Self {
        Self { values: vec![None; places] }
    }

    /// Sets the value at `place`; what is no number, or lies beyond the line, is left out.
    pub(crate) fn set(&mut self, place: usize, value: f64) {
        if let Some(slot) = self.values.get_mut(place).filter(|_| value.is_finite()) {
            *slot = Some(value);
        }
    }

    fn max(&self) -> Option<f64> {
        self.values.iter().copied().flatten().reduce(f64::max)
    }

    /// The largest value, `-` when there is none.
    pub(crate) fn max_text(&self) -> String {
        self.max().map_or_else(|| "-".to_owned(), |max| ((max * 1e3).round() / 1e3).to_string())
    }
}

impl fmt::Display for Sparkline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let top = self.max().unwrap_or(0.0).max(f64::MIN_POSITIVE);
        for places in self.values.chunks(self.values.len().div_ceil(WIDTH).max(1)) {
            let bar = places.iter().copied().flatten().reduce(f64::max).map_or(' ', |value| {
                let height = (value / top * BARS.len() as f64).ceil() as usize;
                BARS[height.clamp(1, BARS.len()) - 1]
            });
            write!(f, "{bar}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(values: &[f64]) -> Sparkline {
        let mut line = Sparkline::new(values.len());
        values.iter().enumerate().for_each(|(place, value)| line.set(place, *value));
        line
    }

    #[test]
    fn bars_are_as_high_as_values() {
        assert_eq!(line(&[0.0, 1.0, 4.0, 8.0, f64::NAN, -3.0]).to_string(), "▁▁▄█ ▁");
        assert_eq!(line(&[0.0]).to_string(), "▁");
        assert_eq!(line(&[1.5, 0.25]).max_text(), "1.5");
        assert_eq!(line(&[f64::INFINITY]).max_text(), "-");
    }

    #[test]
    fn long_lines_are_squeezed() {
        let mut line = Sparkline::new(WIDTH * 10);
        line.set(WIDTH * 10 - 1, 1.0);
        line.set(WIDTH * 10, 5.0);
        let text = line.to_string();
        assert_eq!((text.chars().count(), text.trim()), (WIDTH, "█"));
    }
}

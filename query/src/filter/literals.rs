//! Text that every match of a regular expression must hold, for the block index.

use regex_syntax::hir::{Hir, HirKind};
use store::{Prune, Text};

/// Shorter literals rule out too little to be worth a look-up, in bytes.
const MIN_LITERAL_BYTES: usize = 3;

/// What every text holds that `pattern` (in the syntax of the `regex` crate) matches somewhere.
#[must_use]
pub fn prune_of_pattern(pattern: &str) -> Prune {
    // Bytes that are not UTF-8 may occur in lines, hence the same leniency as `regex::bytes`.
    let parser = regex_syntax::ParserBuilder::new().utf8(false).build().parse(pattern);
    parser.map_or(Prune::Any, |hir| prune_of(&hir))
}

fn prune_of(hir: &Hir) -> Prune {
    match hir.kind() {
        HirKind::Literal(literal) if literal.0.len() >= MIN_LITERAL_BYTES => {
            Prune::Text(Text::substring(literal.0.to_vec()))
        }
        HirKind::Capture(capture) => prune_of(&capture.sub),
        HirKind::Repetition(repetition) if repetition.min > 0 => prune_of(&repetition.sub),
        HirKind::Concat(parts) => {
            let mut all: Vec<Prune> = parts.iter().map(prune_of).filter(|p| *p != Prune::Any).collect();
            match all.len() {
                0 => Prune::Any,
                1 => all.swap_remove(0),
                _ => Prune::And(all),
            }
        }
        HirKind::Alternation(branches) => {
            let any: Vec<Prune> = branches.iter().map(prune_of).collect();
            if any.contains(&Prune::Any) { Prune::Any } else { Prune::Or(any) }
        }
        HirKind::Empty
        | HirKind::Literal(_)
        | HirKind::Class(_)
        | HirKind::Look(_)
        | HirKind::Repetition(_) => Prune::Any,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &str) -> Prune {
        Prune::Text(Text::substring(bytes))
    }

    #[test]
    fn required_text_is_found_and_nothing_else_promised() {
        for (pattern, expected) in [
            ("payment", text("payment")),
            (
                "payment (declined|refused)",
                Prune::And(vec![text("payment "), Prune::Or(vec![text("declined"), text("refused")])]),
            ),
            ("(declined|no)", Prune::Any),
            ("(abc)?", Prune::Any),
            ("(abc)+", text("abc")),
            (r"^\d+ timeout$", text(" timeout")),
            ("(?i)payment", Prune::Any),
            ("a.b", Prune::Any),
            ("(", Prune::Any),
        ] {
            assert_eq!(prune_of_pattern(pattern), expected, "{pattern}");
        }
    }
}

//! Go templates as `line_format` and `label_format` use them: text/template with Loki's functions.
//!
//! A template is parsed once and executed per line against the line's labels; a missing label is empty
//! text. Errors read like Go's, because they become `__error_details__`. Times without a zone are UTC.

mod datetime;
mod eval;
mod functions;
mod parse;
mod printf;
mod text_functions;
mod tokens;
mod value;

pub(crate) use eval::Context;

/// A parsed template.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// The name in errors: `line` or `label`.
    name: &'static str,
    nodes: Vec<parse::Node>,
    num_variables: usize,
}

impl Template {
    /// Parses `text`.
    pub(crate) fn new(name: &'static str, text: &str) -> Result<Self, String> {
        let (nodes, num_variables) = parse::parse(name, text)?;
        Ok(Self { name, nodes, num_variables })
    }

    /// Appends the result for one line to `out`; on an error `out` holds what was written before.
    pub(crate) fn execute(&self, context: &Context<'_>, out: &mut String) -> Result<(), String> {
        eval::execute(self.name, &self.nodes, self.num_variables, context, out)
    }

    /// The labels named in the template.
    pub(crate) fn fields(&self) -> Vec<&str> {
        let mut fields = Vec::new();
        parse::collect_fields(&self.nodes, &mut fields);
        fields
    }

    /// Whether all labels can be seen through a bare `.` or `$`.
    pub(crate) fn sees_all_labels(&self) -> bool {
        parse::uses_whole_dot(&self.nodes)
    }
}

#[cfg(test)]
mod tests;

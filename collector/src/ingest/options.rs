//! What the user says about the input: labels for all its lines, and fields that become labels.

use std::str::FromStr;

/// What the user says about the input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Labels of every line (`--label`).
    pub labels: Vec<(String, String)>,
    /// Fields of a line that become labels of its stream (`--label-field`).
    pub label_fields: Vec<LabelField>,
}

/// A field that becomes a label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelField {
    /// Path of the field, `kubernetes.namespace`.
    pub field: String,
    /// Name of the label.
    pub label: String,
}

impl FromStr for LabelField {
    type Err = String;

    /// Reads `FIELD` or `FIELD=LABEL`; without a label the field's name is it, with `_` for what no label may hold.
    fn from_str(text: &str) -> Result<Self, String> {
        let (field, label) = match text.split_once('=') {
            Some((field, label)) => (field, label.to_owned()),
            None => (text, text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()),
        };
        if field.is_empty() {
            return Err(format!("`{text}` names no field; write FIELD or FIELD=LABEL"));
        }
        check_name(&label)?;
        Ok(Self { field: field.to_owned(), label })
    }
}

impl Options {
    /// Reads the `NAME=VALUE` of `--label`.
    ///
    /// # Errors
    /// When there is no `=`, or the name is none of a label.
    pub fn parse_label(text: &str) -> Result<(String, String), String> {
        let (name, value) = text.split_once('=').ok_or_else(|| format!("`{text}` is not NAME=VALUE"))?;
        check_name(name)?;
        Ok((name.to_owned(), value.to_owned()))
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let first = name.bytes().next().unwrap_or(b'0');
    let valid = !first.is_ascii_digit() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if valid { Ok(()) } else { Err(format!("`{name}` is no name of a label; use letters, digits and `_`")) }
}

//! docs/cli.md, rendered from the definition of the command line.

use std::fmt::Write;

use clap::CommandFactory;

use crate::args::Cli;

const HEAD: &str = "\
# Command line

<!-- Rendered from the code. After a change run `BLESS=1 cargo test --bin binnacle reference`. -->

Results go to standard output, everything else to standard error.
";

/// The page.
fn markdown() -> String {
    let mut page = HEAD.to_owned();
    // Without `build` the global flags are missing from the commands.
    let mut root = Cli::command().term_width(100);
    root.build();
    section(&mut page, &mut root);
    for command in root.get_subcommands_mut().filter(|c| c.get_name() != "help") {
        section(&mut page, command);
    }
    page
}

fn section(page: &mut String, command: &mut clap::Command) {
    let name = command.get_bin_name().unwrap_or_else(|| command.get_name()).to_owned();
    let help = command.render_long_help().to_string();
    let lines: Vec<&str> = help.lines().map(str::trim_end).collect();
    write!(page, "\n## `{name}`\n\n```text\n{}\n```\n", lines.join("\n").trim_end())
        .expect("BUG: writing to a string");
}

#[test]
fn reference_page_of_the_command_line_is_what_the_code_says() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/cli.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, markdown()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == markdown(), "docs/cli.md is stale: BLESS=1 cargo test --bin binnacle reference");
}

//! `litebox completions` and `litebox man`: from the same table of options that parses them.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::Cli;

/// Options of `litebox completions`.
#[derive(Args)]
pub struct Completions {
    /// The shell: `litebox completions bash > /etc/bash_completion.d/litebox`.
    #[arg(value_enum)]
    shell: Shell,
}

/// Options of `litebox man`.
#[derive(Args)]
pub struct Man {
    /// A subcommand.
    #[arg(value_name = "COMMAND")]
    command: Option<String>,
}

/// The completions.
pub fn completions(options: &Completions) -> String {
    let mut out = Vec::new();
    clap_complete::generate(options.shell, &mut Cli::command(), "litebox", &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// The manual page, for man(1): `litebox man | man -l -`.
pub fn manual(options: &Man) -> Result<String, String> {
    let mut all = Cli::command();
    all.build();
    let command = match &options.command {
        None => all,
        Some(name) => {
            let found = all.find_subcommand(name).ok_or_else(|| format!("man {name}: no such subcommand"))?;
            // As its file is called and its first line says it: litebox-run.
            found.clone().display_name(format!("litebox-{name}"))
        }
    };
    let mut out = Vec::new();
    clap_mangen::Man::new(command).render(&mut out).map_err(|e| format!("man: {e}"))?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

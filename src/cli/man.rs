//! `keystow man`

use std::path::{Path, PathBuf};

use clap::Command;

use super::{EX_CANTCREAT, EX_IOERR, EX_USAGE, Failure, files, write_result};

/// Print a manual page, or write all of them into a directory.
///
/// Examples:
///   keystow man | man -l -
///   keystow man export terraform | man -l -
///   keystow man --directory /usr/local/share/man/man1
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Arguments {
    /// The command that the page is of; keystow itself without it.
    #[arg(value_name = "COMMAND", conflicts_with = "directory")]
    command: Vec<String>,
    /// Write the pages of all commands into this directory.
    #[arg(short, long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, mut command: Command) -> Result<(), Failure> {
    command.build();
    if let Some(directory) = &arguments.directory {
        std::fs::create_dir_all(directory).map_err(|error| {
            Failure::new(EX_CANTCREAT, format!("cannot make {}: {error}", directory.display()))
        })?;
        return write_all(&command, directory);
    }
    let mut found = &command;
    for name in &arguments.command {
        found = found.find_subcommand(name).ok_or_else(|| {
            let known: Vec<&str> = found.get_subcommands().map(Command::get_name).collect();
            Failure::new(EX_USAGE, format!("there is no command {name}; there are: {}", known.join(", ")))
        })?;
    }
    write_result(&page(found)?)
}

/// A page for the command and each below it: `keystow-export-terraform.1`.
fn write_all(command: &Command, directory: &Path) -> Result<(), Failure> {
    let name = name_of(command);
    files::write(&directory.join(format!("{name}.1")), &page(command)?, false)?;
    let commands = command.get_subcommands().filter(|command| command.get_name() != "help");
    commands.into_iter().try_for_each(|command| write_all(command, directory))
}

fn name_of(command: &Command) -> String {
    command.get_display_name().unwrap_or(command.get_name()).to_owned()
}

fn page(command: &Command) -> Result<String, Failure> {
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone()).title(name_of(command).to_uppercase());
    man.render(&mut page)
        .map_err(|error| Failure::new(EX_IOERR, format!("cannot write the page: {error}")))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

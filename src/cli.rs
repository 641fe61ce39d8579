//! The command line: one file a command, flags in, a library call out.
//!
//! Results go to stdout, everything else to stderr. Exit codes are those of [`crate::sysexits`].

mod certificate;
mod check;
mod completions;
mod core_dumps;
mod create;
mod export;
mod files;
mod init;
mod inject;
mod man;
mod plugin;
#[cfg(feature = "kubernetes")]
mod provide;
mod replica;
#[cfg(feature = "kubernetes")]
mod rotate;
mod start;
mod webhook;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::config::Configuration;
use crate::init::ENV_LABEL;
use crate::sysexits::{
    EX_CANTCREAT, EX_DATAERR, EX_IOERR, EX_NOINPUT, EX_NOPERM, EX_SOFTWARE, EX_UNAVAILABLE, EX_USAGE,
};

use plugin::Role;

/// Gives Kubernetes pods all they need to get their secrets.
///
/// Pods say what they need in annotations (secret.bsycorp.com/…), and keystow's admission webhook injects the init
/// container, volumes, service account and environment that deliver it.
///
/// Without any argument and with ENV_LABEL in the environment, which kees' manifests set, it runs init.
#[derive(Debug, Parser)]
#[command(name = "keystow", version, propagate_version = true, max_term_width = 120)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Inject(inject::Arguments),
    Init(init::Arguments),
    Create(Box<create::Arguments>),
    #[cfg(feature = "kubernetes")]
    Rotate(Box<rotate::Arguments>),
    #[cfg(feature = "kubernetes")]
    Provide(Box<provide::Arguments>),
    Webhook(Box<webhook::Arguments>),
    Export(Box<export::Arguments>),
    Check(Box<check::Arguments>),
    Completions(completions::Arguments),
    Man(man::Arguments),
}

/// A command that ended badly: its exit code and what to tell.
struct Failure {
    code: u8,
    message: String,
}

impl Failure {
    fn new(code: u8, message: impl Display) -> Self {
        Self { code, message: message.to_string() }
    }
}

/// Runs the command that `arguments` (with the program's name first) ask for.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = as_kees(arguments.into_iter().collect(), std::env::var_os);
    let role = Role::of(arguments.first());
    if role == Role::Completer {
        let is_answered = plugin::complete(Arguments::command(), &arguments);
        return ExitCode::from(if is_answered { 0 } else { EX_IOERR });
    }
    let matches = role.command(Arguments::command()).try_get_matches_from(arguments);
    let arguments = match matches.and_then(|matches| Arguments::from_arg_matches(&matches)) {
        Ok(arguments) => arguments,
        Err(request) => {
            // Help and version are results; everything else is a mistake. There is nowhere to report that neither
            // can be written.
            let _ = request.print();
            return ExitCode::from(if request.use_stderr() { EX_USAGE } else { 0 });
        }
    };
    let outcome = match arguments.command {
        Command::Inject(arguments) => inject::run(&arguments),
        Command::Webhook(arguments) => webhook::run(*arguments),
        Command::Init(arguments) => init::run(&arguments),
        Command::Create(arguments) => create::run(*arguments),
        #[cfg(feature = "kubernetes")]
        Command::Rotate(arguments) => rotate::run(*arguments),
        #[cfg(feature = "kubernetes")]
        Command::Provide(arguments) => provide::run(*arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Completions(arguments) => completions::run(&arguments, &mut Arguments::command()),
        Command::Man(arguments) => man::run(&arguments, Arguments::command()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let style = anstyle::AnsiColor::Red.on_default().bold();
            let _ = writeln!(anstream::stderr(), "{style}error:{style:#} {}", failure.message);
            ExitCode::from(failure.code)
        }
    }
}

/// Kees' image has one program, so kees' manifests name no command: only the image is changed in them.
fn as_kees(
    mut arguments: Vec<OsString>,
    environment: impl Fn(&'static str) -> Option<OsString>,
) -> Vec<OsString> {
    if arguments.len() == 1 && environment(ENV_LABEL).is_some_and(|label| !label.is_empty()) {
        arguments.push("init".into());
    }
    arguments
}

/// Prints a configuration with all its defaults: what --check-config is for.
fn check_configuration(configuration: &Configuration) -> Result<(), Failure> {
    match configuration.to_yaml() {
        Ok(yaml) => write_result(&yaml),
        Err(reason) => Err(Failure::new(EX_SOFTWARE, format!("cannot write YAML: {reason}"))),
    }
}

/// Writes a command's result.
fn write_result(text: &str) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        // Whoever reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(EX_IOERR, format!("cannot write the result: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn kees_manifests_name_no_command() {
        let run = |arguments: &[&str], label: Option<&str>| {
            let arguments = arguments.iter().map(OsString::from).collect();
            as_kees(arguments, |name| label.filter(|_| name == "ENV_LABEL").map(OsString::from))
        };
        assert_eq!(run(&["keystow"], Some("prod")), ["keystow", "init"]);
        assert_eq!(run(&["keystow"], Some("")), ["keystow"]);
        assert_eq!(run(&["keystow"], None), ["keystow"]);
        assert_eq!(run(&["keystow", "webhook"], Some("prod")), ["keystow", "webhook"]);
    }
}

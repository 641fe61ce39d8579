//! What the demo writes: titles, notes, steps with their time, and the progress of those that take long.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};

use super::{Failure, Outcome};

const TITLE: Style = Style::new().bold();
const DONE: Style = AnsiColor::Green.on_default();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();
const ERROR: Style = AnsiColor::Red.on_default().bold();
const NAME: Style = AnsiColor::Cyan.on_default();

/// A step that takes longer shows that it goes on.
const PATIENCE: Duration = Duration::from_secs(2);
/// Empties the line that the cursor is in.
const CLEAR: &str = "\r\x1b[K";

/// A screen that nobody reads any more is no reason to fail. Colours are for a terminal alone.
fn write(text: impl Display) {
    let mut out = anstream::stdout().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

pub(crate) fn title(text: &str) {
    write(format_args!("\n{TITLE}{text}{TITLE:#}\n"));
}

pub(crate) fn note(text: &str) {
    write(format_args!("  {text}\n"));
}

pub(crate) fn warning(text: &str) {
    write(format_args!("  {WARNING}note:{WARNING:#} {text}\n"));
}

/// A name and what is to be said of it.
pub(crate) fn entry(name: &str, text: &str) {
    write(format_args!("    {NAME}{name:<36}{NAME:#} {text}\n"));
}

pub(crate) fn failed(failure: &Failure) {
    let mut err = anstream::stderr().lock();
    let Failure { step, reason } = failure;
    let _ = writeln!(err, "\n{ERROR}the demo failed:{ERROR:#} {step}: {reason}");
}

/// Waits for `work`, and tells how long it took.
pub(crate) async fn step<T>(what: &str, work: impl Future<Output = Outcome<T>>) -> Outcome<T> {
    let began = Instant::now();
    let is_terminal = std::io::stdout().is_terminal();
    let mut ticks = tokio::time::interval(PATIENCE);
    ticks.tick().await;
    let mut work = std::pin::pin!(work);
    let result = loop {
        tokio::select! {
            result = &mut work => break result,
            _ = ticks.tick() => progress(what, began.elapsed(), is_terminal),
        }
    };
    let clear = if is_terminal { CLEAR } else { "" };
    let seconds = began.elapsed().as_secs_f64();
    match &result {
        Ok(_) => write(format_args!("{clear}  {DONE}✓{DONE:#} {what:<72} {seconds:>6.2} s\n")),
        Err(_) => write(format_args!("{clear}  {ERROR}✗{ERROR:#} {what}\n")),
    }
    result
}

fn progress(what: &str, since: Duration, is_terminal: bool) {
    let seconds = since.as_secs();
    if is_terminal {
        write(format_args!("{CLEAR}  … {what}, {seconds} s"));
    } else {
        write(format_args!("  … {what}, {seconds} s\n"));
    }
}

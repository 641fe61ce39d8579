//! The exit codes of sysexits(3), as far as they are used, by every command.

/// The command was used wrongly, or its configuration, settings or annotations are wrong.
pub const EX_USAGE: u8 = 64;
/// The input is wrong.
pub const EX_DATAERR: u8 = 65;
/// An input cannot be read.
pub const EX_NOINPUT: u8 = 66;
/// A service cannot be had.
pub const EX_UNAVAILABLE: u8 = 69;
/// A bug.
pub const EX_SOFTWARE: u8 = 70;
/// An output cannot be made.
pub const EX_CANTCREAT: u8 = 73;
/// The result cannot be written.
pub const EX_IOERR: u8 = 74;
/// Access is denied.
pub const EX_NOPERM: u8 = 77;

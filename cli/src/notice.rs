//! What a command says while it works: to standard error, so that standard output stays for results.

use std::fmt::Display;

/// Says one thing to the person at the terminal.
pub fn say(message: impl Display) {
    eprintln!("cyberbrain: {message}");
}

//! Long work shows how far it is, on a terminal as a bar.

use indicatif::{ProgressBar, ProgressStyle};
use std::fmt;
use std::io::{self, Write};

/// Prints a line on standard output. A reader who has seen enough, such as `head`, ends nothing: the command goes on,
/// and its exit code still tells how it went.
pub fn line(text: fmt::Arguments<'_>) {
    match writeln!(io::stdout(), "{text}") {
        Err(fault) if fault.kind() != io::ErrorKind::BrokenPipe => eprintln!("muneem: {fault}"),
        _ => {}
    }
}

/// [`line`] with the arguments of `format!`.
#[macro_export]
macro_rules! out {
    ($($words:tt)*) => { $crate::progress::line(format_args!($($words)*)) };
}

/// Says on standard error what is done now.
pub fn say(what: &str) {
    eprintln!("muneem: {what}");
}

/// A bar on standard error; nothing where that is no terminal.
pub struct Bar(ProgressBar);

impl Bar {
    /// Counts things.
    pub fn count(what: &'static str) -> Bar {
        Bar::styled(what, "{msg} [{bar:30}] {human_pos}/{human_len}, {per_sec}, {eta} left")
    }

    /// Counts bytes.
    pub fn bytes(what: &'static str) -> Bar {
        Bar::styled(what, "{msg} [{bar:30}] {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left")
    }

    fn styled(what: &'static str, template: &str) -> Bar {
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        Bar(ProgressBar::new(0).with_style(style.progress_chars("=> ")).with_message(what))
    }

    pub fn show(&self, done: u64, total: u64) {
        self.0.set_length(total);
        self.0.set_position(done);
    }

    pub fn end(&self) {
        self.0.finish_and_clear();
    }
}

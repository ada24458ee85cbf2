//! A bar for captures that take more than a second, on a terminal only.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long a capture may take in silence.
const PATIENCE: Duration = Duration::from_secs(1);

/// The bar, once there is one.
pub(crate) struct Progress {
    start: Instant,
    /// Bytes of the capture, if it is a file.
    size: Option<u64>,
    wanted: bool,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub(crate) fn new(capture: &Path) -> Progress {
        let size = fs::metadata(capture).ok().filter(|meta| meta.is_file()).map(|meta| meta.len());
        Progress { start: Instant::now(), size, wanted: io::stderr().is_terminal(), bar: None }
    }

    /// Shows no more if lines of output appear on the same terminal: they say enough.
    pub(crate) fn give_way(&mut self) {
        self.wanted = self.wanted && !io::stdout().is_terminal();
    }

    /// Shows how far the capture has been read.
    pub(crate) fn show(&mut self, offset: u64, packets: u64) {
        if !self.wanted || (self.bar.is_none() && self.start.elapsed() < PATIENCE) {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| bar(self.size));
        bar.set_position(offset);
        bar.set_message(format!("{packets} packets"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar(size: Option<u64>) -> ProgressBar {
    let target = ProgressDrawTarget::stderr();
    match size {
        Some(size) => {
            let template = "{bar:40} {bytes}/{total_bytes}  {msg}  {eta}";
            let style = ProgressStyle::with_template(template)
                .unwrap_or_else(|_| ProgressStyle::default_bar());
            ProgressBar::with_draw_target(Some(size), target).with_style(style)
        }
        None => ProgressBar::with_draw_target(None, target),
    }
}

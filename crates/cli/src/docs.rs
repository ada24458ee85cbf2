//! Man pages and completions, out of the same table as `--help`.

use std::fs;
use std::io::Write;
use std::path::Path;

use clap::CommandFactory;

use crate::args::LowArgs;
use crate::failure::Failure;

/// Writes completions for `shell`.
pub(crate) fn completions(shell: clap_complete::Shell, out: &mut dyn Write) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut LowArgs::command(), "ring3", &mut text);
    Ok(out.write_all(&text)?)
}

/// Writes `ring3.1` and a page for each verb into `dir`.
pub(crate) fn man_pages(dir: &Path) -> Result<(), Failure> {
    let place = |error| Failure::unusable(format!("{}: {error}", dir.display()));
    fs::create_dir_all(dir).map_err(place)?;
    clap_mangen::generate_to(LowArgs::command(), dir).map_err(place)
}

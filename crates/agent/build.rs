//! Compiles `blob/` to an image that runs anywhere, and a table of what is where in it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use object::{Object, ObjectSegment, ObjectSymbol};

/// Exported functions that are helpers are named so, with the helper's number behind.
const HELPER: &str = "ring3_helper_";
/// Other places.
const PLACE: &str = "ring3_place_";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=blob");
    println!("cargo:rerun-if-changed=src/abi.rs");
    let var = |name: &str| env::var(name).unwrap_or_default();
    let out = PathBuf::from(var("OUT_DIR"));
    let here = var("CARGO_CFG_TARGET_ARCH") == "x86_64" && var("CARGO_CFG_TARGET_OS") == "linux";
    let (image, helpers, places) = if here { built(&out) } else { Default::default() };
    fs::write(out.join("agent.bin"), image).expect("the build's folder can be written");
    let table = format!(
        "pub(super) const IMAGE: &[u8] = include_bytes!(\"agent.bin\");\n\
         pub(super) const HELPERS: &[(u32, usize)] = &[{helpers}];\n\
         pub(super) const PLACES: &[(&str, usize)] = &[{places}];\n"
    );
    fs::write(out.join("table.rs"), table).expect("the build's folder can be written");
}

/// The image; rows of helpers and of places.
fn built(out: &Path) -> (Vec<u8>, String, String) {
    let library = out.join("agent.so");
    let mut rustc = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    rustc
        .args(["--edition=2024", "--crate-type=cdylib", "--crate-name=agent_blob"])
        .args(["-Copt-level=3", "-Cpanic=abort", "-Crelocation-model=pic", "-Ccodegen-units=1"])
        .args(["-Coverflow-checks=off", "-Cdebug-assertions=off", "-Cforce-unwind-tables=no"])
        .args([
            "-Clink-arg=-nostdlib",
            "-Clink-arg=-Wl,--gc-sections,-z,noseparate-code,-Bsymbolic",
        ])
        .args(["-Clink-arg=-Wl,--build-id=none", "-Cstrip=debuginfo"])
        .arg("--target")
        .arg(env::var_os("TARGET").unwrap_or_default())
        .arg("-o")
        .arg(&library)
        .arg("blob/main.rs");
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        rustc.arg("-C").arg(format!("linker={}", linker.display()));
    }
    let status = rustc.status().expect("rustc runs");
    assert!(status.success(), "the agent does not compile");
    let bytes = fs::read(&library).expect("the agent was written");
    let file = object::File::parse(&*bytes).expect("rustc writes ELF");
    let moved = file.dynamic_relocations().map_or(0, |all| all.count());
    assert_eq!(moved, 0, "the agent must run wherever it is put");
    let mut image = Vec::new();
    for segment in file.segments() {
        let at = segment.address() as usize;
        let data = segment.data().expect("segments are in the file");
        let end = at + (segment.size() as usize).max(data.len());
        image.resize(image.len().max(end), 0);
        image[at..at + data.len()].copy_from_slice(data);
    }
    let (mut helpers, mut places) = (String::new(), String::new());
    for symbol in file.symbols().filter(|symbol| symbol.is_definition()) {
        let Ok(name) = symbol.name() else { continue };
        let at = symbol.address();
        if let Some(id) = name.strip_prefix(HELPER) {
            helpers += &format!("({id}, {at}), ");
        } else if let Some(name) = name.strip_prefix(PLACE) {
            places += &format!("(\"{name}\", {at}), ");
        }
    }
    (image, helpers, places)
}

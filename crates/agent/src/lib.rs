//! The agent: machine code that runs programs inside of other processes, as bytes.
//!
//! It is made by the build script out of `blob/`: code that refers to nothing outside itself, needs
//! no start-up and runs at any address. Programs call its functions as helpers. Nothing here runs
//! it; who does maps it into a process, with memory laid out as [`abi`] says.
#![forbid(unsafe_code)]

pub mod abi;

/// The image, whole pages when mapped; empty where there is no agent for the machine.
pub fn image() -> &'static [u8] {
    table::IMAGE
}

/// Offset in the image of the function that does what helper `id` does.
pub fn helper(id: u32) -> Option<usize> {
    table::HELPERS.iter().find(|(known, _)| *known == id).map(|(_, at)| *at)
}

/// Offset of a place in the image, by name; none where there is no agent.
pub fn place(name: &str) -> Option<usize> {
    table::PLACES.iter().find(|(known, _)| *known == name).map(|(_, at)| *at)
}

mod table {
    include!(concat!(env!("OUT_DIR"), "/table.rs"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_image_has_what_a_tracer_needs() {
        if image().is_empty() {
            println!("skipped: no agent for this machine");
            return;
        }
        for name in ["enter", "release", "released", "finish", "kicked"] {
            let at = place(name);
            assert!(at.is_some_and(|at| at < image().len()), "{name}: {at:?}");
        }
        assert!(helper(5).is_some() && helper(6).is_none());
    }
}

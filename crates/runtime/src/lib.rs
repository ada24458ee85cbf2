//! The objects: ids, programs, maps, BTF, test runs, trace pipe, the bodies of helpers.
//!
//! [`Bpf`] is the door that everything else is written against.

pub mod door;

pub use door::{
    Batch, Bpf, BtfInfo, BtfLoad, Fd, LoadError, Loaded, LogRequest, MapCreate, MapInfo, ObjKind,
    ProgInfo, ProgLoad, TestRun, TestRunOut,
};

//! What programs that both sides accept leave behind: return value, packet, map contents.

use runtime::door::{Bpf, Fd, LoadError, MapCreate, ProgLoad, TestRun};
use uapi::{Errno, MapDef, MapType, ProgType};
use verifier::{LogOptions, Policy};

use super::Subject;
use super::work::shape;
use crate::generate::{MapFds, VALUE_SIZE, program};
use crate::oracle::Run;

/// Two doors with the maps that generated programs refer to.
pub struct Results<'a> {
    ours: Side<'a>,
    kernel: Side<'a>,
}

impl<'a> Results<'a> {
    /// Makes the maps.
    pub fn new(ours: &'a dyn Bpf, kernel: &'a dyn Bpf) -> Result<Results<'a>, Errno> {
        Ok(Results { ours: Side::new(ours)?, kernel: Side::new(kernel)? })
    }

    /// Whether the generated program of `seed` does the same on both; `None` if it does not load,
    /// or if it may show addresses or stack that nobody wrote: a loader without CAP_PERFMON could
    /// not load it.
    pub fn agree(&self, seed: u64, subject: &Subject) -> Option<bool> {
        let policy = Policy { cap_perfmon: false, cap_sys_admin: false, ..Policy::default() };
        let options = LogOptions::default();
        verifier::verify(&subject.program, &subject.world, &policy, &options).verdict.ok()?;
        let ours = self.ours.load(seed).ok()?;
        let kernel = self.kernel.load(seed).ok();
        let same = kernel.map(|kernel| self.ours.run(ours) == self.kernel.run(kernel));
        let _ = self.ours.door.close(ours);
        if let Some(kernel) = kernel {
            let _ = self.kernel.door.close(kernel);
        }
        same
    }

    /// What each side made of the program of `seed`, as text.
    pub fn show(&self, seed: u64) -> String {
        let one = |side: &Side<'_>| match side.load(seed) {
            Ok(fd) => format!("{:?}", side.run(fd)),
            Err(e) => e.to_string(),
        };
        format!("ring3: {}\nLinux: {}", one(&self.ours), one(&self.kernel))
    }
}

/// A door with the two maps that programs refer to.
struct Side<'a> {
    door: &'a dyn Bpf,
    array: Fd,
    hash: Fd,
}

impl<'a> Side<'a> {
    fn new(door: &'a dyn Bpf) -> Result<Side<'a>, Errno> {
        let map =
            |kind, key| door.map_create(&MapCreate::from(MapDef::new(kind, key, VALUE_SIZE, 8)));
        Ok(Side { door, array: map(MapType::Array, 4)?, hash: map(MapType::Hash, 8)? })
    }

    fn load(&self, seed: u64) -> Result<Fd, LoadError> {
        let maps = MapFds { array: self.array.0, hash: self.hash.0 };
        let req = ProgLoad {
            prog_type: Some(ProgType::Xdp),
            license: "GPL".into(),
            insns: program(seed, maps, shape(seed)),
            ..ProgLoad::default()
        };
        self.door.prog_load(&req).map(|loaded| loaded.fd)
    }

    /// Runs on a fixed packet with maps in a fixed state; the maps' contents come along.
    fn run(&self, prog: Fd) -> Result<(Run, Vec<u8>), Errno> {
        for index in 0..8u32 {
            let value = [index as u8 + 1; VALUE_SIZE as usize];
            self.door.map_update(self.array, &index.to_le_bytes(), &value, 0)?;
            let key = u64::from(index).to_le_bytes();
            if index % 2 == 0 {
                self.door.map_update(self.hash, &key, &value, 0)?;
            }
        }
        let packet: Vec<u8> = (0..64).map(|n: u8| n.wrapping_mul(37)).collect();
        let req = TestRun { data_in: Some(packet), data_out: Some(512), ..TestRun::default() };
        let out = self.door.test_run(prog, &req)?;
        let mut contents = Vec::new();
        for index in 0..8u32 {
            let mut value = [0; VALUE_SIZE as usize];
            self.door.map_lookup(self.array, &index.to_le_bytes(), &mut value, 0)?;
            contents.extend(value);
            if index % 2 == 0 {
                let key = u64::from(index).to_le_bytes();
                self.door.map_lookup(self.hash, &key, &mut value, 0)?;
                contents.extend(value);
            }
        }
        Ok((Run { retval: out.retval, data_out: out.data_out }, contents))
    }
}

impl Drop for Side<'_> {
    fn drop(&mut self) {
        let _ = self.door.close(self.array);
        let _ = self.door.close(self.hash);
    }
}

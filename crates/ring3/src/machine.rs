//! The machine that programs are loaded into and run on.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use btf::Btf;
use loader::ProgramSpec;
use runtime::door::{Bpf, Fd, TestRun, TestRunOut};
use runtime::{Config, Runtime, Socket};
use uapi::{Errno, MapDef, ProgType};

use crate::dump::{Contents, contents};
use crate::host::{FIRST_HOST_HELPER, HostFn, HostHelper};
use crate::load::{Fds, close, load};
use crate::object::list;
use crate::run::{PacketRunner, Program};
use crate::{Error, Object, Surroundings};

/// A kernel's half of eBPF in this process: maps, programs, helpers, a trace pipe.
pub struct Machine {
    runtime: Arc<Runtime>,
    trace: Arc<Trace>,
    host_helpers: u32,
}

#[derive(Default)]
struct Trace {
    /// Bytes in `lines`.
    len: AtomicUsize,
    lines: Mutex<Lines>,
}

#[derive(Default)]
struct Lines {
    text: String,
    /// Lines that gave way to later ones.
    lost: usize,
}

impl Default for Machine {
    fn default() -> Machine {
        Machine::new()
    }
}

impl Machine {
    /// A machine with this computer's number of CPUs, its clock, and all rights.
    pub fn new() -> Machine {
        Machine::with(Config::default())
    }

    /// A machine by its settings.
    pub fn with(config: Config) -> Machine {
        let runtime = Arc::new(Runtime::new(config));
        let trace = Arc::new(Trace::default());
        let sink = trace.clone();
        runtime.set_trace_sink(Some(Box::new(move |line| sink.push(line))));
        Machine { runtime, trace, host_helpers: 0 }
    }

    /// Lets programs that are loaded from now on call `function` as a helper, and gives the
    /// number they call it by. The verifier checks that calls set as many registers as it takes.
    pub fn register<Args>(&mut self, name: &str, function: impl HostFn<Args>) -> u32 {
        let id = FIRST_HOST_HELPER + self.host_helpers;
        self.host_helpers += 1;
        let helper = HostHelper::new(id, name, function);
        self.runtime.register_helper(helper.proto, helper.body);
        id
    }

    /// Puts programs that run from now on into these surroundings; ENOMEM without memory for them.
    pub fn surround(&self, around: &Surroundings) -> Result<(), Errno> {
        let sockets = around.sockets.iter().map(|info| Socket::new(*info, None));
        let sockets = sockets.collect::<Result<_, _>>()?;
        self.runtime.set_routes(around.routes.clone());
        self.runtime.set_sockets(sockets);
        Ok(())
    }

    /// Creates the object's maps, verifies its programs and makes them ready.
    pub fn load(&self, object: &Object) -> Result<Loaded, Error> {
        self.load_some(object, None)
    }

    /// The same with only the program called `name`.
    pub fn load_only(&self, object: &Object, name: &str) -> Result<Loaded, Error> {
        object.program(name)?;
        self.load_some(object, Some(name))
    }

    fn load_some(&self, object: &Object, wanted: Option<&str>) -> Result<Loaded, Error> {
        let fds = load(&*self.runtime, object, wanted)?;
        Ok(Loaded { runtime: self.runtime.clone(), object: object.clone(), fds })
    }

    /// Bytes that programs have printed since [`Machine::take_trace`].
    pub fn trace_len(&self) -> usize {
        self.trace.len.load(Relaxed)
    }

    /// What programs have printed, in the format of trace_pipe, each line with its end.
    pub fn take_trace(&self) -> String {
        self.trace.take()
    }

    /// The dumps of machine code since the last call, as Linux logs them with `bpf_jit_enable` 2.
    pub fn take_jit_dump(&self) -> String {
        self.runtime.take_jit_dump()
    }

    /// The door of typed bpf(2) commands.
    pub fn door(&self) -> &dyn Bpf {
        &*self.runtime
    }
}

/// Bytes of trace that are kept when nobody takes them.
const TRACE_LIMIT: usize = 16 << 20;

impl Trace {
    fn push(&self, line: &str) {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.text.len() + line.len() >= TRACE_LIMIT {
            lines.drop_oldest();
        }
        lines.text.push_str(line);
        lines.text.push('\n');
        self.len.store(lines.text.len(), Relaxed);
    }

    fn take(&self) -> String {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        self.len.store(0, Relaxed);
        let Lines { text, lost } = std::mem::take(&mut *lines);
        // As trace_pipe tells it.
        if lost == 0 { text } else { format!("CPU:0 [LOST {lost} EVENTS]\n{text}") }
    }
}

impl Lines {
    /// Keeps the younger half.
    fn drop_oldest(&mut self) {
        let half = self.text.len() / 2;
        let end = self.text.as_bytes()[half..].iter().position(|byte| *byte == b'\n');
        let end = end.map_or(self.text.len(), |at| half + at + 1);
        self.lost += self.text[..end].lines().count();
        self.text.drain(..end);
    }
}

/// An object's maps and programs in a [`Machine`]; they go when this does.
pub struct Loaded {
    runtime: Arc<Runtime>,
    object: Object,
    fds: Fds,
}

impl Loaded {
    /// The program called `name`, if it was loaded.
    pub fn program(&self, name: &str) -> Result<Program<'_>, Error> {
        let spec = self.object.program(name)?;
        let programs = self.object.spec().programs.iter().zip(&self.fds.programs);
        let fd = programs
            .into_iter()
            .find_map(|(program, fd)| if std::ptr::eq(program, spec) { *fd } else { None });
        match fd {
            Some(fd) => Ok(Program { loaded: self, spec, fd }),
            None => Err(Error::NoProgram {
                file: self.object.file().to_owned(),
                message: format!("program '{name}' is not loaded of itself; name it"),
            }),
        }
    }

    /// The map called `name`: as in the source, or `OBJECT.bss`, `OBJECT.data`, `OBJECT.rodata`.
    pub fn map(&self, name: &str) -> Result<Map<'_>, Error> {
        self.maps().find(|map| map.name() == name).ok_or_else(|| Error::NoMap {
            file: self.object.file().to_owned(),
            map: name.to_owned(),
            known: list(self.maps().map(|map| map.name())),
        })
    }

    /// All maps, in the object's order.
    pub fn maps(&self) -> impl Iterator<Item = Map<'_>> {
        let maps = self.object.spec().maps.iter().zip(&self.fds.maps);
        let there = maps.filter(|(_, fd)| fd.0 >= 0);
        there.map(|(spec, &fd)| Map { loaded: self, name: &spec.name, fd })
    }

    /// The object's types.
    pub fn btf(&self) -> Option<&Btf> {
        self.object.spec().btf.as_deref()
    }

    /// The programs that were loaded, with their descriptors.
    pub(crate) fn programs(&self) -> impl Iterator<Item = (&ProgramSpec, Fd)> {
        let programs = self.object.spec().programs.iter().zip(&self.fds.programs);
        programs.filter_map(|(program, fd)| Some((program, (*fd)?)))
    }

    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    pub(crate) fn test_run(&self, fd: Fd, request: &TestRun) -> Result<TestRunOut, Errno> {
        self.runtime.test_run(fd, request)
    }

    /// The same, to be kept.
    pub(crate) fn shared_runtime(&self) -> Arc<Runtime> {
        self.runtime.clone()
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn runner(
        &self,
        prog_type: Option<ProgType>,
        fd: Fd,
    ) -> Result<PacketRunner, Errno> {
        PacketRunner::new(&self.runtime, prog_type, fd)
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        close(&*self.runtime, &self.fds);
    }
}

/// A map in a [`Machine`], from user space.
#[derive(Clone, Copy)]
pub struct Map<'a> {
    loaded: &'a Loaded,
    name: &'a str,
    fd: Fd,
}

impl<'a> Map<'a> {
    /// Its name in the object.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Its descriptor at the machine's door.
    pub(crate) fn fd(&self) -> Fd {
        self.fd
    }

    /// Its attributes.
    pub fn def(&self) -> Result<MapDef, Error> {
        let info = (&*self.loaded.runtime as &dyn Bpf).map_info(self.fd);
        Ok(info.map_err(|errno| self.error("its attributes", errno))?.def)
    }

    /// The value at `key`, if there is one; per-CPU values one after the other, padded to 8 bytes.
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Error> {
        let door = &*self.loaded.runtime as &dyn Bpf;
        let def = door.map_info(self.fd).map_err(|errno| self.error("its attributes", errno))?.def;
        let mut value = vec![0; door.user_value_size(&def)];
        match door.map_lookup(self.fd, key, &mut value, 0) {
            Ok(()) => Ok(Some(value)),
            Err(Errno::ENOENT) => Ok(None),
            Err(errno) => Err(self.error("looking up an element", errno)),
        }
    }

    /// Sets the value at `key`.
    pub fn set(&self, key: &[u8], value: &[u8]) -> Result<(), Error> {
        let done = self.loaded.runtime.map_update(self.fd, key, value, 0);
        done.map_err(|errno| self.error("setting an element", errno))
    }

    /// Removes the element at `key`.
    pub fn remove(&self, key: &[u8]) -> Result<(), Error> {
        let done = self.loaded.runtime.map_delete(self.fd, key);
        done.map_err(|errno| self.error("removing an element", errno))
    }

    /// Up to `limit` elements.
    pub fn contents(&self, limit: usize) -> Result<Contents, Error> {
        contents(&*self.loaded.runtime, self.fd, limit)
            .map_err(|errno| self.error("listing its elements", errno))
    }

    /// All elements by their types, as JSON of the shape of `bpftool map dump`.
    pub fn to_json(&self) -> Result<serde_json::Value, Error> {
        Ok(self.contents(usize::MAX)?.to_json(self.loaded.btf()))
    }

    fn error(&self, what: &'static str, errno: Errno) -> Error {
        let file = self.loaded.object.file().to_owned();
        Error::Map { file, map: self.name.to_owned(), what, errno }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_lines_give_way() {
        let trace = Trace::default();
        let line = |number: usize| format!("{number:08}{}", "é".repeat(5000));
        (0..4000).for_each(|number| trace.push(&line(number)));
        let kept = trace.take();
        assert!(kept.len() < TRACE_LIMIT, "{}", kept.len());
        let (head, rest) = kept.split_once('\n').expect("lines");
        // What is left begins where the loss ends.
        let lost = 4000 - rest.lines().count();
        assert_eq!(head, format!("CPU:0 [LOST {lost} EVENTS]"));
        assert!(rest.starts_with(&line(lost)) && rest.ends_with(&format!("{}\n", line(3999))));
        assert_eq!(trace.take(), "");
    }
}

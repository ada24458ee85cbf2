//! Running a loaded program.

use std::sync::Arc;

use hooks::packet::XdpRunner;
use loader::ProgramSpec;
use runtime::Runtime;
use runtime::door::{Bpf, Fd, TestRun, TestRunOut};
use uapi::{Errno, ProgType};

use crate::context::{Given, Subject, linux_runs};
use crate::listing::machine_listing;
use crate::machine::Loaded;
use crate::{Error, Kernel, action};

/// A program in a [`crate::Machine`].
#[derive(Clone, Copy)]
pub struct Program<'a> {
    pub(crate) loaded: &'a Loaded,
    pub(crate) spec: &'a ProgramSpec,
    pub(crate) fd: Fd,
}

/// What a run on bytes gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// What the program returned: its verdict.
    pub retval: u32,
    /// The bytes as it left them.
    pub data: Vec<u8>,
}

/// What a run on a context of one's own making gave.
#[derive(Clone, Debug)]
pub struct RanOn {
    /// What the program returned.
    pub retval: u32,
    /// Mean time of a run in nanoseconds.
    pub duration_ns: u32,
    /// The packet afterwards, or what an iterator wrote.
    pub data: Vec<u8>,
    /// The fields of the context that the program changed, by name.
    pub changed: serde_json::Value,
    /// The context's bytes afterwards.
    pub ctx: Vec<u8>,
}

/// Room that a program can add to a packet, in bytes.
const GROWTH: u32 = 4096;

impl<'a> Program<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        &self.spec.name
    }

    /// Its type as bpftool prints it: `xdp`.
    pub fn type_name(&self) -> String {
        self.spec.prog_type.map_or_else(|| "unspec".into(), action::prog_type_name)
    }

    /// Why it runs in the interpreter, if it does.
    pub fn interpreted_because(&self) -> Option<String> {
        self.loaded.runtime().interpreted_because(self.fd).ok().flatten()
    }

    /// Its machine code as `bpftool prog dump jited` prints it, lines of the source between;
    /// with `opcodes`, each instruction's bytes below it.
    pub fn machine_code(&self, opcodes: bool) -> Result<String, Error> {
        let insns = self.loaded.runtime().machine_code(self.fd);
        let insns = insns.map_err(|why| self.error(format!("there is no machine code: {why}")))?;
        Ok(machine_listing(self.loaded.btf(), self.spec, &insns, opcodes))
    }

    /// Runs it once on the bytes of a packet.
    pub fn run(&self, packet: &[u8]) -> Result<Ran, Error> {
        let room = u32::try_from(packet.len()).unwrap_or(u32::MAX).saturating_add(GROWTH);
        let request =
            TestRun { data_in: Some(packet.to_vec()), data_out: Some(room), ..TestRun::default() };
        let out = self.test_run(&request)?;
        Ok(Ran { retval: out.retval, data: out.data_out })
    }

    /// Runs it as BPF_PROG_TEST_RUN does.
    pub fn test_run(&self, request: &TestRun) -> Result<TestRunOut, Error> {
        self.loaded.test_run(self.fd, request).map_err(|errno| {
            let why = match (errno, &request.data_in) {
                (Errno::EINVAL, Some(data)) if data.len() < IPV6_HLEN => {
                    format!("{errno}: a packet of {} bytes is shorter than its headers", data.len())
                }
                _ => format!("{errno}: a test run on this input is refused"),
            };
            self.error(why)
        })
    }

    /// What a context for it is made of: its type and target, its types and the kernel's.
    pub fn subject(&self, kernel: &Kernel) -> Result<Subject, Error> {
        let prog_type = self.spec.prog_type;
        let prog_type = prog_type.ok_or_else(|| self.error("it has no type".into()))?;
        Ok(Subject {
            prog_type,
            attach_type: self.spec.expected_attach_type,
            attach_btf_id: self.spec.attach_btf_id,
            section: self.spec.section.clone(),
            function: self.spec.func_info.first().map(|info| info.type_id),
            own: self.loaded.object().spec().btf.clone(),
            kernel: kernel.types().ok(),
        })
    }

    /// Runs it `repeat` times on a context that was laid out for it, and on a packet where its
    /// type has one.
    pub fn run_given(
        &self,
        subject: &Subject,
        given: &Given,
        packet: Option<&[u8]>,
        repeat: u32,
    ) -> Result<RanOn, Error> {
        let request = TestRun { repeat, ..given.request(subject, packet) };
        let out = self.loaded.test_run(self.fd, &request).map_err(|errno| {
            let why = match errno {
                Errno::EFAULT => "it was stopped: it touched memory that it may not touch",
                Errno::EINTR => "it was stopped: it took too many instructions",
                _ => "a run on this context is refused",
            };
            self.error(format!("{errno}: {why}"))
        })?;
        Ok(RanOn {
            retval: out.retval,
            duration_ns: out.duration_ns,
            data: out.data_out,
            changed: given.changed(&out.ctx_out),
            ctx: given.context(&out.ctx_out).to_vec(),
        })
    }

    /// Whether Linux would run it by BPF_PROG_TEST_RUN.
    pub fn linux_runs(&self) -> bool {
        self.spec.prog_type.is_some_and(|t| linux_runs(t, self.spec.expected_attach_type))
    }

    /// What a value that it returned means: `1: allow`, `-13: EACCES`.
    pub fn meaning(&self, value: u32) -> Option<String> {
        action::meaning(self.spec.prog_type, self.spec.expected_attach_type, value)
    }

    /// Makes it ready to run on packet after packet.
    pub fn runner(&self) -> Result<PacketRunner, Error> {
        let made = self.loaded.runner(self.spec.prog_type, self.fd);
        made.map_err(|errno| self.error(format!("{errno}: it cannot be made ready to run")))
    }

    /// What a value that it returned is called: `XDP_PASS`; the number where there is no name.
    pub fn verdict_name(&self, value: u32) -> String {
        action::verdict_name(self.spec.prog_type, value)
    }

    /// Whether a packet goes on after this verdict.
    pub fn passes(&self, value: u32) -> bool {
        action::passes(self.spec.prog_type, value)
    }

    /// Whether it runs on the bytes of a packet, rather than on a context alone.
    pub fn takes_packets(&self) -> bool {
        use ProgType as T;
        matches!(
            self.spec.prog_type,
            Some(
                T::Xdp
                    | T::SchedCls
                    | T::SchedAct
                    | T::SocketFilter
                    | T::CgroupSkb
                    | T::LwtIn
                    | T::LwtOut
                    | T::LwtXmit
                    | T::LwtSeg6local
                    | T::FlowDissector
            )
        )
    }

    /// An error of a run, with the place of the program.
    pub fn error(&self, message: String) -> Error {
        let file = self.loaded.object().file().to_owned();
        Error::Run { file, program: self.spec.name.clone(), message }
    }
}

/// Bytes of the Ethernet and IPv6 headers, which Linux wants of a packet that announces them.
const IPV6_HLEN: usize = 54;

/// A program that is ready for packets, with a buffer that is used again.
pub struct PacketRunner {
    kind: Kind,
}

enum Kind {
    Xdp(Box<XdpRunner>),
    /// Other types go through the door each time.
    Door {
        runtime: Arc<Runtime>,
        fd: Fd,
        out: Vec<u8>,
    },
}

impl PacketRunner {
    pub(crate) fn new(
        runtime: &Arc<Runtime>,
        prog_type: Option<ProgType>,
        fd: Fd,
    ) -> Result<PacketRunner, Errno> {
        let kind = match prog_type {
            Some(ProgType::Xdp) => Kind::Xdp(Box::new(XdpRunner::new(runtime.runner(fd)?)?)),
            _ => Kind::Door { runtime: runtime.clone(), fd, out: Vec::new() },
        };
        Ok(PacketRunner { kind })
    }

    /// Runs the program on a packet; the value is its verdict, the error says why it was stopped.
    pub fn run(&mut self, packet: &[u8]) -> Result<u32, String> {
        match &mut self.kind {
            Kind::Xdp(xdp) => xdp.run(packet).map_err(|error| error.to_string()),
            Kind::Door { runtime, fd, out } => {
                let room = u32::try_from(packet.len()).unwrap_or(u32::MAX).saturating_add(GROWTH);
                let request = TestRun {
                    data_in: Some(packet.to_vec()),
                    data_out: Some(room),
                    ..TestRun::default()
                };
                let ran = runtime.test_run(*fd, &request).map_err(|errno| errno.to_string())?;
                *out = ran.data_out;
                Ok(ran.retval)
            }
        }
    }

    /// The last packet as the program left it.
    pub fn packet(&mut self) -> &[u8] {
        match &mut self.kind {
            Kind::Xdp(xdp) => xdp.packet(),
            Kind::Door { out, .. } => out,
        }
    }
}

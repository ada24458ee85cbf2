//! A door kept open for commands, and one command after the other through it.

use std::cell::{OnceCell, RefCell};
use std::ffi::OsString;
use std::io::{Read, Write};

use ring3::Kernel;
use runtime::door::{Bpf, Fd};
use runtime::{Config, Runtime};

use crate::answer::{Answer, Body, Done};
use crate::fail::{Fail, strerror};
use crate::options::{self, Options, Target, Wish};
use crate::print::Printer;
use crate::symbols::Symbols;
use crate::words::Words;
use crate::{select, version};

/// Opens the door of a target; the message says why there is none.
pub type Opener = Box<dyn Fn(Target) -> Result<Box<dyn Bpf>, String>>;

/// What a command line printed, and its exit status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Output {
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: String,
    /// Exit status.
    pub status: u8,
}

/// A door, opened when it is first needed, and what several commands share.
pub struct Session {
    opener: Opener,
    default: Target,
    door: OnceCell<Box<dyn Bpf>>,
    kernel: Kernel,
    symbols: OnceCell<Symbols>,
    input: RefCell<Box<dyn Read>>,
    live: RefCell<Option<Box<dyn Write>>>,
}

impl Session {
    /// A session whose commands go to `default` unless an option says otherwise.
    pub fn new(default: Target, opener: Opener) -> Session {
        Session {
            opener,
            default,
            door: OnceCell::new(),
            kernel: Kernel::running(),
            symbols: OnceCell::new(),
            input: RefCell::new(Box::new(std::io::empty())),
            live: RefCell::new(None),
        }
    }

    /// What commands read as standard input from now on.
    pub fn set_input(&mut self, input: impl Read + 'static) {
        *self.input.borrow_mut() = Box::new(input);
    }

    /// Where endless output (`prog tracelog`) goes; without it, what is there is collected.
    pub fn set_live(&mut self, live: impl Write + 'static) {
        *self.live.borrow_mut() = Some(Box::new(live));
    }

    /// Runs one command line, program's name first.
    pub fn run(&self, args: Vec<OsString>) -> Output {
        let (options, words) = options::parse(args);
        let mut printer = Printer::new(&options);
        let ctx = Ctx { session: self, options: &options, fds: RefCell::default() };
        let code = match &options.wish {
            Wish::Bad(complaint) => {
                let usage = (!options.json).then_some(None);
                printer.show(Err(Fail { usage, ..Fail::new(complaint.as_str()) }))
            }
            Wish::Help => printer.show(Ok(Answer { body: Body::Help(None), fail: None })),
            Wish::Version => printer.show(version::version(&ctx, Words::new(&[]))),
            Wish::Command => select::select(&ctx, &words, &mut printer),
        };
        ctx.close();
        let (stdout, stderr) = printer.finish();
        Output { stdout, stderr, status: code as u8 }
    }
}

/// What a command works with.
pub(crate) struct Ctx<'a> {
    session: &'a Session,
    pub(crate) options: &'a Options,
    fds: RefCell<Vec<Fd>>,
}

impl<'a> Ctx<'a> {
    /// The door of the target.
    pub(crate) fn door(&self) -> Result<&'a dyn Bpf, Fail> {
        if let Some(door) = self.session.door.get() {
            return Ok(&**door);
        }
        let target = self.target();
        let door = (self.session.opener)(target).map_err(Fail::new)?;
        Ok(&**self.session.door.get_or_init(|| door))
    }

    /// Where objects live.
    pub(crate) fn target(&self) -> Target {
        self.options.target.unwrap_or(self.session.default)
    }

    /// The kernel whose types and symbols count.
    pub(crate) fn kernel(&self) -> &'a Kernel {
        &self.session.kernel
    }

    /// Names of the kernel's addresses; none unless its programs are what is shown.
    pub(crate) fn symbols(&self) -> &'a Symbols {
        let load = || match self.target() {
            Target::Linux => Symbols::kernel(),
            Target::Memory | Target::Daemon => Symbols::default(),
        };
        self.session.symbols.get_or_init(load)
    }

    /// Closes `fd` after the command.
    pub(crate) fn keep(&self, fd: Fd) -> Fd {
        self.fds.borrow_mut().push(fd);
        fd
    }

    /// Closes what was kept.
    pub(crate) fn close(&self) {
        let fds = std::mem::take(&mut *self.fds.borrow_mut());
        if let Some(door) = self.session.door.get() {
            for fd in fds {
                // Nothing is lost if it is gone.
                let _ = door.close(fd);
            }
        }
    }

    /// A file's bytes; `-` is standard input.
    pub(crate) fn read(&self, file: &str, limit: u64) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        if file == "-" {
            self.session.input.borrow_mut().by_ref().take(limit).read_to_end(&mut bytes)?;
        } else {
            std::fs::File::open(file)?.take(limit).read_to_end(&mut bytes)?;
        }
        Ok(bytes)
    }

    /// Whether endless output is seen at once.
    pub(crate) fn is_live(&self) -> bool {
        self.session.live.borrow().is_some()
    }

    /// Writes a piece of endless output at once; false when nobody reads any more.
    pub(crate) fn pass_on(&self, bytes: &[u8]) -> Result<bool, Fail> {
        let mut live = self.session.live.borrow_mut();
        let Some(live) = live.as_mut() else { return Ok(false) };
        match live.write_all(bytes).and_then(|()| live.flush()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Fail::new(strerror(crate::fail::io_errno(&error)))),
        }
    }

    /// Copies what never ends to where it is seen at once.
    pub(crate) fn stream(&self, from: &mut dyn Read) -> Done {
        let mut live = self.session.live.borrow_mut();
        let mut collected = Vec::new();
        let to: &mut dyn Write = match live.as_mut() {
            Some(live) => live,
            None => &mut collected,
        };
        let copied = std::io::copy(from, to).and_then(|_| to.flush());
        match copied {
            Ok(()) => Ok(Answer::data(crate::answer::Raw(collected))),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(Answer::none()),
            Err(error) => Err(Fail::new(strerror(crate::fail::io_errno(&error)))),
        }
    }
}

/// The doors that need nobody else: the kernel's, and one in this process.
pub fn open(target: Target) -> Result<Box<dyn Bpf>, String> {
    match target {
        Target::Linux => match syscall::Linux::probe() {
            Ok(linux) => Ok(Box::new(linux)),
            Err(errno) => Err(format!("bpf(2): {}", strerror(errno))),
        },
        Target::Memory => {
            let kernel_btf = Kernel::running().types().ok();
            let runtime = Runtime::new(Config { kernel_btf, ..Config::default() });
            runtime.set_feeder(ring3::packet::feeder());
            Ok(Box::new(runtime))
        }
        Target::Daemon => Err("no daemon can be reached from here: choose --target".into()),
    }
}

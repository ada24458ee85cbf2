//! What was typed means this: files named, choices made, nothing left to decide.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use ring3::Kernel;
use ring3::net::NetPlan;

use crate::args::{
    CompileArgs, DisasmArgs, Engine, RunArgs, Style, TargetArgs, Tool, TraceArgs, VerifyArgs,
};
use crate::failure::Failure;

/// Elements of a map that are shown without `--maps`.
const FEW: usize = 10;

/// A run, on a capture or on bytes.
#[derive(Debug)]
pub(crate) struct RunPlan {
    pub(crate) file: PathBuf,
    pub(crate) prog: Vec<String>,
    /// Global variables and their values.
    pub(crate) set: Vec<(String, String)>,
    pub(crate) work: Work,
    /// Most elements shown of one map.
    pub(crate) elements: usize,
    pub(crate) json: bool,
    pub(crate) engine: Option<ring3::Engine>,
    /// A document of the network around.
    pub(crate) fib: Option<PathBuf>,
    pub(crate) kernel: KernelPlan,
}

impl RunPlan {
    /// Whether packets or contexts are written to standard output.
    pub(crate) fn bytes_to_stdout(&self) -> bool {
        let files = match &self.work {
            Work::Capture(work) => [work.output.as_deref(), None],
            Work::Once(work) => [work.data_out.as_deref(), work.ctx_out.as_deref()],
            Work::Net(work) => [work.net.write.as_deref(), None],
            Work::Live(_) => [None, None],
        };
        files.contains(&Some(Path::new("-")))
    }
}

/// The kernel that programs are meant for.
#[derive(Debug)]
pub(crate) struct KernelPlan {
    btf: PathBuf,
    config: Option<PathBuf>,
}

impl KernelPlan {
    fn new(args: TargetArgs) -> KernelPlan {
        KernelPlan { btf: args.btf, config: args.kconfig }
    }

    /// Its files, which are read when a program asks for them.
    pub(crate) fn open(&self) -> Kernel {
        let kernel = Kernel::at(&self.btf);
        match &self.config {
            Some(config) => kernel.with_config(config),
            None => kernel,
        }
    }
}

/// What a program is run on.
#[derive(Debug)]
pub(crate) enum Work {
    Capture(CaptureWork),
    Once(OnceWork),
    Live(LiveWork),
    Net(NetWork),
}

/// A command in a network.
#[derive(Debug)]
pub(crate) struct NetWork {
    pub(crate) net: NetPlan,
    pub(crate) command: Vec<OsString>,
    /// Commands in other hosts, for a shell.
    pub(crate) on: Vec<(String, String)>,
    pub(crate) output: Option<PathBuf>,
}

/// A command to attach to.
#[derive(Debug)]
pub(crate) struct LiveWork {
    pub(crate) command: Vec<OsString>,
    /// Programs and the sections they are attached by.
    pub(crate) attach: Vec<(String, String)>,
    /// Samples a second.
    pub(crate) frequency: Option<u32>,
    pub(crate) output: Option<PathBuf>,
    pub(crate) types: Option<PathBuf>,
    pub(crate) speed: Speed,
}

/// Where programs run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speed {
    /// In the command where they can.
    Auto,
    /// The same, and those that cannot are told.
    Told,
    /// In ring3.
    Slow,
}

/// Packets in, packets out.
#[derive(Debug)]
pub(crate) struct CaptureWork {
    pub(crate) input: PathBuf,
    pub(crate) output: Option<PathBuf>,
    pub(crate) any_link_type: bool,
}

/// A test run.
#[derive(Debug)]
pub(crate) struct OnceWork {
    pub(crate) data_in: Option<PathBuf>,
    pub(crate) data_out: Option<PathBuf>,
    pub(crate) ctx_in: Option<PathBuf>,
    pub(crate) ctx_out: Option<PathBuf>,
    /// A context as JSON, or where it is.
    pub(crate) ctx: Option<String>,
    pub(crate) repeat: u32,
}

/// A compilation.
#[derive(Debug)]
pub(crate) struct CompilePlan {
    pub(crate) source: PathBuf,
    pub(crate) object: PathBuf,
    pub(crate) kernel: KernelPlan,
}

/// Verdicts on many files.
#[derive(Debug)]
pub(crate) struct VerifyPlan {
    pub(crate) files: Vec<PathBuf>,
    /// `log_level`: 0, 1 or 2.
    pub(crate) log: u32,
    pub(crate) json: bool,
    pub(crate) kernel: KernelPlan,
}

/// A listing.
#[derive(Debug)]
pub(crate) struct DisasmPlan {
    pub(crate) file: PathBuf,
    pub(crate) prog: Option<String>,
    pub(crate) style: ring3::Style,
    pub(crate) jited: bool,
    pub(crate) opcodes: bool,
    pub(crate) kernel: KernelPlan,
}

pub(crate) fn run(args: RunArgs) -> Result<RunPlan, Failure> {
    if args.write.is_some() && args.pcap.is_none() && args.dev.is_none() {
        return Err(Failure::unusable("--write: of what? It needs --pcap or --dev"));
    }
    let work = match args.pcap {
        Some(input) => {
            let output = args.write;
            if output.as_deref().is_some_and(|output| same_file(&input, output)) {
                let message = "--write: this is the capture that is being read; name another file";
                return Err(Failure::unusable(format!("{}: {message}", input.display())));
            }
            Work::Capture(CaptureWork { input, output, any_link_type: args.any_link_type })
        }
        None if let Some(dev) = &args.dev => {
            let mut net = NetPlan::new(args.hosts.into(), dev)?;
            net.attach = args.attach;
            net.write = args.write;
            net.points = args.at.unwrap_or_default();
            Work::Net(NetWork { net, command: args.command, on: args.on, output: args.output })
        }
        None if !args.command.is_empty() => Work::Live(LiveWork {
            command: args.command,
            attach: args.attach,
            frequency: args.frequency,
            output: args.output,
            types: args.types,
            speed: match (args.fast, args.slow) {
                (_, true) => Speed::Slow,
                (true, _) => Speed::Told,
                _ => Speed::Auto,
            },
        }),
        None => Work::Once(OnceWork {
            data_in: args.data_in,
            data_out: args.data_out,
            ctx_in: args.ctx_in,
            ctx_out: args.ctx_out,
            ctx: args.ctx,
            repeat: args.repeat,
        }),
    };
    Ok(RunPlan {
        file: args.file,
        prog: args.prog,
        set: args.set,
        work,
        elements: if args.maps { usize::MAX } else { FEW },
        json: args.json,
        engine: args.engine.map(|engine| match engine {
            Engine::Interp => ring3::Engine::Interp,
            Engine::Jit => ring3::Engine::Jit,
        }),
        fib: args.fib,
        kernel: KernelPlan::new(args.target),
    })
}

/// Programs of a tool and where a function's entry and return are.
const ON_FUNCTION: [(&str, &str); 2] = [("entry", "uprobe"), ("back", "uretprobe")];

/// One of our own tools, whose source is here, on a command.
pub(crate) fn trace(args: TraceArgs, source: PathBuf) -> Result<RunPlan, Failure> {
    let attach = match (args.tool, &args.function) {
        (Tool::Funclatency, Some(function)) => ON_FUNCTION
            .map(|(program, section)| (program.to_owned(), format!("{section}/{function}")))
            .to_vec(),
        (_, None) => Vec::new(),
        (_, Some(function)) => {
            let message = "only funclatency takes a function; the command stands behind --";
            return Err(Failure::unusable(format!("{function}: {message}")));
        }
    };
    let work = LiveWork {
        command: args.command,
        attach,
        frequency: None,
        output: args.output,
        types: None,
        speed: Speed::Auto,
    };
    Ok(RunPlan {
        file: source,
        prog: Vec::new(),
        set: args.set,
        work: Work::Live(work),
        elements: FEW,
        json: args.json,
        engine: None,
        fib: None,
        kernel: KernelPlan::new(args.target),
    })
}

fn same_file(a: &Path, b: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().ok();
    real(a).is_some_and(|a| Some(a) == real(b)) && a.is_file()
}

pub(crate) fn compile(args: CompileArgs) -> CompilePlan {
    let object = args.out.unwrap_or_else(|| {
        let name = args.file.file_name().map(PathBuf::from).unwrap_or_default();
        name.with_extension("o")
    });
    let kernel = KernelPlan::new(args.target);
    CompilePlan { source: args.file, object, kernel }
}

pub(crate) fn verify(args: VerifyArgs) -> Result<VerifyPlan, Failure> {
    let mut files = Vec::new();
    for path in args.files {
        expand(path, &mut files)?;
    }
    Ok(VerifyPlan {
        files,
        log: u32::from(args.verbose).min(2),
        json: args.json,
        kernel: KernelPlan::new(args.target),
    })
}

/// A folder stands for the sources and objects in it, and in the folders below.
fn expand(path: PathBuf, files: &mut Vec<PathBuf>) -> Result<(), Failure> {
    if !path.is_dir() {
        files.push(path);
        return Ok(());
    }
    let before = files.len();
    walk(&path, files, 0)?;
    if files.len() == before {
        let message = "no *.bpf.c or *.o in this folder";
        return Err(Failure::unusable(format!("{}: {message}", path.display())));
    }
    Ok(())
}

fn walk(dir: &Path, files: &mut Vec<PathBuf>, depth: u32) -> Result<(), Failure> {
    /// Deeper than any tree of sources; ends loops of links.
    const DEEPEST: u32 = 64;
    let place = |error| Failure::unusable(format!("{}: {error}", dir.display()));
    let entries = std::fs::read_dir(dir).map_err(place)?;
    let mut paths: Vec<PathBuf> =
        entries.map(|entry| entry.map(|e| e.path())).collect::<Result<_, _>>().map_err(place)?;
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() && !path.is_symlink() && depth < DEEPEST {
            walk(&path, files, depth + 1)?;
        } else if name.ends_with(".bpf.c") || name.ends_with(".o") {
            files.push(path);
        }
    }
    Ok(())
}

pub(crate) fn disasm(args: DisasmArgs) -> DisasmPlan {
    let style = match args.style {
        Style::Kernel => ring3::Style::Kernel,
        Style::Llvm => ring3::Style::Llvm,
    };
    let kernel = KernelPlan::new(args.target);
    DisasmPlan {
        file: args.file,
        prog: args.prog,
        style,
        jited: args.jited,
        opcodes: args.opcodes,
        kernel,
    }
}

//! What was typed: syntax only. `--help`, man pages and completions are derived from here.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};

/// eBPF in ring 3: verify and run BPF programs without root.
#[derive(Debug, Parser)]
#[command(name = "ring3", version, max_term_width = 100, arg_required_else_help = true)]
#[command(
    after_help = "Example:\n  ring3 run examples/hello.bpf.c --pcap examples/captures/web.pcap"
)]
pub(crate) struct LowArgs {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Run(Box<RunArgs>),
    Trace(Box<TraceArgs>),
    Compile(CompileArgs),
    Verify(VerifyArgs),
    Disasm(DisasmArgs),
    Daemon(DaemonArgs),
    Fs(FsArgs),
    /// Attach classifiers to interfaces of ring3's own, in the words of tc(8)
    ///
    /// DEV is an interface of a network (HOST/eth0) or one of `ring3 net dev`. Filters are of bpf with
    /// direct action, on clsact, which every interface has. Of several, the lower priority runs
    /// first, until one decides; programs of tcx run before them.
    #[command(after_help = "Examples:
  ring3 net up lab
  ring3 tc filter add dev host/eth0 ingress bpf da obj filter.bpf.o sec tc
  ring3 tc filter add dev host/eth0 egress prio 10 bpf da pinned /sys/fs/bpf/shape
  ring3 tc filter show dev host/eth0
  ring3 tc filter del dev host/eth0 ingress\n
Exit status: 0 if it is done, 1 if the program or the filter was refused, 2 if it cannot be tried.")]
    Tc {
        /// qdisc or filter, add, del or show, dev DEV, and the rest
        #[arg(value_name = "WORD", required = true, trailing_var_arg = true)]
        words: Vec<String>,
    },
    /// Write completions for a shell to standard output
    #[command(
        after_help = "Example:\n  ring3 completions bash >~/.local/share/bash-completion/completions/ring3"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write man pages into a folder
    #[command(after_help = "Example:\n  ring3 man ~/.local/share/man/man1")]
    Man {
        /// The folder, made if it is missing
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
}

/// Run programs on a command, on the packets of a capture, or once on given bytes
///
/// The program is compiled if it is C, loaded, verified and run. Its trace lines come first, in the
/// format of trace_pipe; then how often it gave which verdict; then its maps, by their types.
/// Programs on a COMMAND see that command and all that it starts, and nothing else.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ring3 run hello.bpf.c --pcap web.pcap
  ring3 run firewall.bpf.o --pcap in.pcapng --write passed.pcap
  ring3 run hello.bpf.o --data-in packet.bin --repeat 1000000 --json
  ring3 run opensnoop.bpf.c -- cat /etc/hostname
  ring3 run hello.bpf.c --dev eth0 -- ping -c 3 peer
  ring3 run lsm.bpf.c --prog no_ptrace --ctx '{\"child\":{\"pid\":7},\"mode\":2}'
  ring3 run connect4.bpf.c --ctx '{\"user_family\":2,\"user_ip4\":\"10.0.0.1\"}' --json

Exit status: COMMAND's own (128 and the signal's number if one ended it), or 0 if it ran; 1 if the
program, the object or the capture was refused, 2 if it could not be tried (usage, a missing file,
no clang); 126 and 127 for a COMMAND that cannot be run or is not there.")]
pub(crate) struct RunArgs {
    /// BPF program: C source or ELF object
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Run the program of this name; needed for captures if the object has several
    ///
    /// With COMMAND it may be given several times; without it all programs are attached.
    #[arg(long, value_name = "NAME")]
    pub(crate) prog: Vec<String>,

    /// Set a global variable before the programs are loaded: a number, true, false, or a text
    #[arg(long, value_name = "VAR=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,

    /// Attach a program elsewhere than its section says: NAME=uprobe//bin/bash:readline
    #[arg(long, value_name = "NAME=SECTION", requires = "command", value_parser = pair)]
    pub(crate) attach: Vec<(String, String)>,

    /// Say which programs run in ring3 rather than in COMMAND itself, and why
    ///
    /// Programs at entries of functions whose maps and helpers can be had in COMMAND run there, as
    /// machine code; an event then costs a tenth of a microsecond, not ten. This is so without the
    /// option too.
    #[arg(long, requires = "command", conflicts_with_all = ["dev", "slow"])]
    pub(crate) fast: bool,

    /// Run all programs in ring3; COMMAND's memory is left alone but for breakpoints
    #[arg(long, requires = "command", conflicts_with = "dev")]
    pub(crate) slow: bool,

    /// Run programs of perf_event so often in each second that COMMAND is on a CPU (99)
    #[arg(long, value_name = "N", requires = "command",
          value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) frequency: Option<u32>,

    /// Read packets from this capture, pcap or pcapng; `-` for standard input
    #[arg(long, value_name = "IN", conflicts_with = "data_in", value_hint = ValueHint::FilePath)]
    pub(crate) pcap: Option<PathBuf>,

    /// Write the packets that pass, as the program changed them, with their time stamps
    ///
    /// XDP_PASS, XDP_TX and XDP_REDIRECT pass; dropped and aborted packets do not. Captures of
    /// nanoseconds, and all pcapng, give nanoseconds. `-` is standard output; the report then goes
    /// to standard error.
    ///
    /// If the name ends with .pcapng, all packets are written, each with the program's verdict as a
    /// comment.
    ///
    /// With --dev: a pcapng file of the network's frames wherever they are seen, each with the hook,
    /// the program and its verdict as a comment; --at chooses the points.
    #[arg(long, value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub(crate) write: Option<PathBuf>,

    /// Points of --write: sent, received, and hooks (xdp, tcx/ingress, tc/egress, …), between commas
    #[arg(long, value_name = "POINTS", requires_all = ["write", "dev"])]
    pub(crate) at: Option<String>,

    /// Attach to this interface of a little network that COMMAND runs in: eth0, or HOST/eth0
    ///
    /// Its hosts are network namespaces, joined by ring3, which carries every packet between them:
    /// COMMAND runs in `host`; `peer`, and with --hosts `peer2` and so on, are names it can reach.
    /// Programs of xdp, tcx, tc, cgroup_skb and socket sections see what comes and goes.
    #[arg(long, value_name = "DEV", requires = "command", conflicts_with = "types")]
    pub(crate) dev: Option<String>,

    /// Hosts of the network
    #[arg(long, value_name = "N", default_value_t = 2, requires = "dev",
          value_parser = clap::value_parser!(u8).range(1..=32))]
    pub(crate) hosts: u8,

    /// Run a command in another host while COMMAND runs: peer='python3 -m http.server 80'
    #[arg(long, value_name = "HOST=COMMAND", requires = "dev", value_parser = pair)]
    pub(crate) on: Vec<(String, String)>,

    /// Run once on the bytes of this file, as BPF_PROG_TEST_RUN does; `-` for standard input
    #[arg(long, value_name = "PACKET.bin", value_hint = ValueHint::FilePath)]
    pub(crate) data_in: Option<PathBuf>,

    /// Write the packet afterwards to this file; `-` for standard output
    #[arg(long, value_name = "F", requires = "data_in", value_hint = ValueHint::FilePath)]
    pub(crate) data_out: Option<PathBuf>,

    /// Begin with the context in this file (struct xdp_md, struct __sk_buff, struct pt_regs)
    #[arg(long, value_name = "F", conflicts_with = "pcap", value_hint = ValueHint::FilePath)]
    pub(crate) ctx_in: Option<PathBuf>,

    /// Write the context afterwards to this file; `-` for standard output
    #[arg(long, value_name = "F", conflicts_with = "pcap", value_hint = ValueHint::FilePath)]
    pub(crate) ctx_out: Option<PathBuf>,

    /// Run once on this context: JSON, with the names that the types of the program's context have
    ///
    /// Registers of a kprobe (di, si, arg1), the record of a tracepoint, the arguments of a traced
    /// function or an LSM hook, the fields of a UAPI structure. Texts and objects stand for what a
    /// pointer leads to. @FILE reads it from a file, `-` from standard input. Packets are given with
    /// --data-in, or as "packet".
    #[arg(long, value_name = "JSON", conflicts_with_all = ["pcap", "ctx_in", "command"])]
    pub(crate) ctx: Option<String>,

    /// The network around, for bpf_fib_lookup and lookups of sockets: a JSON document
    ///
    /// {"link": …, "route": …, "neigh": …} as `ip -j addr`, `ip -j route` and `ip -j neigh` print
    /// them, and "sockets": [{"protocol": "tcp", "local": "192.0.2.1:80", "state": "listen"}].
    #[arg(long, value_name = "FILE", conflicts_with = "command", value_hint = ValueHint::FilePath)]
    pub(crate) fib: Option<PathBuf>,

    /// Run this many times on the same bytes and give the mean time
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "pcap",
          value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repeat: u32,

    /// Show all elements of all maps, not the first of each
    #[arg(long)]
    pub(crate) maps: bool,

    /// Print one JSON document instead of text
    #[arg(long)]
    pub(crate) json: bool,

    /// What runs the program; by default machine code where the processor is x86-64
    ///
    /// Without this, the environment variable RING3_ENGINE decides: interp, jit, or jit-dump, which
    /// writes the machine code to standard error as Linux does with bpf_jit_enable at 2.
    #[arg(long, value_enum)]
    pub(crate) engine: Option<Engine>,

    /// Write records to this file instead of standard output
    #[arg(short, long, value_name = "FILE", requires = "command", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,

    /// Take the types of records from this C source or object: its struct event, or NAME_event
    #[arg(long, value_name = "FILE", requires = "command", value_hint = ValueHint::FilePath)]
    pub(crate) types: Option<PathBuf>,

    /// Run this command with the programs attached to it and to all that it starts
    ///
    /// Programs of tracepoint, raw_tp, tp_btf, kprobe, ksyscall, fentry, fexit and uprobe sections
    /// fire on what it does. Each record that they send is printed, by its type.
    #[arg(last = true, value_name = "COMMAND", conflicts_with_all = ["pcap", "data_in", "ctx_in"],
          value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<std::ffi::OsString>,

    /// Accept captures that are not of Ethernet: the program sees their packets as they are
    #[arg(long, requires = "pcap")]
    pub(crate) any_link_type: bool,

    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// Watch a command with one of ring3's own tools
///
/// opensnoop: files that it opens. execsnoop: programs that it runs. syscount: its system calls, how
/// many and how long. funclatency PATH:FUNC: how long a function takes. All that the command starts
/// is watched too, and nothing else.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ring3 trace opensnoop -- cat /etc/hostname
  ring3 trace execsnoop --json -- make
  ring3 trace syscount -- ls /
  ring3 trace funclatency libc.so.6:malloc -- ls /

Exit status: COMMAND's own, 128 and the signal's number if one ended it; 1 if the tool was refused,
2 if it could not be tried (no clang); 126 and 127 for a COMMAND that cannot be run or is not there.")]
pub(crate) struct TraceArgs {
    /// The tool
    #[arg(value_enum)]
    pub(crate) tool: Tool,

    /// The function, for funclatency: PATH:FUNC, PATH:FUNC+OFFSET or PATH:OFFSET
    #[arg(value_name = "FUNCTION", required_if_eq("tool", "funclatency"))]
    pub(crate) function: Option<String>,

    /// Set a global variable of the tool
    #[arg(long, value_name = "VAR=VALUE", value_parser = pair)]
    pub(crate) set: Vec<(String, String)>,

    /// Print JSON, a document a line, instead of columns
    #[arg(long)]
    pub(crate) json: bool,

    /// Write to this file instead of standard output
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) output: Option<PathBuf>,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND",
          value_hint = ValueHint::CommandWithArguments)]
    pub(crate) command: Vec<std::ffi::OsString>,

    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// Tools of `ring3 trace`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tool {
    /// Files that are opened
    Opensnoop,
    /// Programs that are run
    Execsnoop,
    /// System calls, counted and timed
    Syscount,
    /// A histogram of how long a function takes
    Funclatency,
}

/// Compile C source to a BPF object
///
/// Runs clang as BPF programs need it: -g -O2 -target bpf, and the include path of this machine.
/// The environment variable CLANG names another clang. A vmlinux.h that the source includes and
/// that is not there is made from the kernel's BTF.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  ring3 compile hello.bpf.c -o hello.bpf.o\n
Exit status: 0 if it compiled, 1 if clang refused the source, 2 if there is no clang or no source.")]
pub(crate) struct CompileArgs {
    /// C source
    #[arg(value_name = "FILE.bpf.c", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// The object; without it, the source's name with .o for .c, in the current folder
    #[arg(short, value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub(crate) out: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// Say whether Linux would accept programs, and why not
///
/// Prints a line for each program: the verdict, and of a rejected one the error, Linux's message
/// and the line of the source at fault. An explanation follows, or with -v Linux's log.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ring3 verify hello.bpf.o
  ring3 verify -v examples/mistakes
  ring3 verify --json build/ | jq '.[] | select(.verdict != \"accept\")'

Exit status: 0 if all programs are accepted, 1 if any is rejected, 2 if any file cannot be read.")]
pub(crate) struct VerifyArgs {
    /// C sources, ELF objects, and folders of both (*.bpf.c, *.o)
    #[arg(value_name = "FILE|DIR", required = true, value_hint = ValueHint::AnyPath)]
    pub(crate) files: Vec<PathBuf>,

    /// Print Linux's log too; twice: of every path
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    /// Print one JSON array instead of text
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// Print programs as instructions, the source between them
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  ring3 disasm hello.bpf.o --style llvm
  ring3 disasm --jited hello.bpf.o")]
pub(crate) struct DisasmArgs {
    /// BPF program: C source or ELF object
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) file: PathBuf,

    /// Only the program of this name
    #[arg(long, value_name = "NAME")]
    pub(crate) prog: Option<String>,

    /// Whose spelling
    #[arg(long, value_enum, default_value_t = Style::Kernel)]
    pub(crate) style: Style,

    /// Print the machine code that the programs run as, AT&T syntax
    #[arg(long, conflicts_with = "style")]
    pub(crate) jited: bool,

    /// Print the bytes of machine instructions too
    #[arg(long, requires = "jited")]
    pub(crate) opcodes: bool,

    #[command(flatten)]
    pub(crate) target: TargetArgs,
}

/// Keep programs, maps and pins between commands
///
/// One process of yours holds them; commands that need it start it. What is pinned stays until it
/// is removed or the daemon is stopped.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ring3 daemon start
  ring3 daemon status --json
  ring3 daemon stop

The socket is in $XDG_RUNTIME_DIR/ring3, or /tmp/ring3-UID, and for you alone.
Exit status: 0 if it is as asked, 1 if no daemon is running, 2 if there cannot be one.")]
pub(crate) struct DaemonArgs {
    #[command(subcommand)]
    pub(crate) verb: DaemonVerb,
}

/// What to do about the daemon.
#[derive(Debug, Subcommand)]
pub(crate) enum DaemonVerb {
    /// Start it unless it is running
    Start,
    /// End it, and all that it holds
    Stop,
    /// Say whether it is running and what it holds
    Status {
        /// Print one JSON object instead of text
        #[arg(long)]
        json: bool,
    },
    /// Be the daemon
    #[command(hide = true)]
    Serve {
        /// The folder of its socket
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: Option<PathBuf>,
    },
}

/// Look after the names of pinned objects
///
/// The daemon's own file system of pins, in which /sys/fs/bpf is a folder. Paths that do not begin
/// with / begin there.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  ring3 fs ls -l
  ring3 fs rm /sys/fs/bpf/hello
  ring3 fs cat trace_pipe")]
pub(crate) struct FsArgs {
    #[command(subcommand)]
    pub(crate) verb: FsVerb,
}

/// What to do with names.
#[derive(Debug, Subcommand)]
pub(crate) enum FsVerb {
    /// List folders
    Ls {
        /// Folders or pins
        #[arg(value_name = "PATH", default_value = "/sys/fs/bpf")]
        paths: Vec<String>,
        /// Show kind and id of each object
        #[arg(short)]
        long: bool,
    },
    /// Remove pins; an object goes when nothing else holds it
    Rm {
        /// Pins
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<String>,
        /// Remove folders and all in them
        #[arg(short)]
        recursive: bool,
    },
    /// Make folders
    Mkdir {
        /// Folders
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<String>,
        /// Make the folders above them too; a folder that is there is no error
        #[arg(short)]
        parents: bool,
    },
    /// Remove empty folders
    Rmdir {
        /// Folders
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<String>,
    },
    /// Show the pins as files in a folder, by FUSE, until the daemon ends
    Mount {
        /// The folder
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
    /// Show them there no more
    Umount {
        /// The folder
        #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
        dir: PathBuf,
    },
    /// Print what programs print, as it comes, the elements of a pinned map with types, or what a
    /// pinned iterator writes
    Cat {
        /// trace_pipe, or the path of a map or an iterator
        #[arg(value_name = "FILE")]
        file: String,
        /// End when there is nothing more, instead of waiting
        #[arg(short)]
        now: bool,
    },
}

/// The kernel that programs are meant for.
#[derive(Debug, Args)]
pub(crate) struct TargetArgs {
    /// BTF of the kernel that the program is meant for; read where the program refers to it
    #[arg(long, value_name = "FILE", default_value = "/sys/kernel/btf/vmlinux",
          value_hint = ValueHint::FilePath)]
    pub(crate) btf: PathBuf,

    /// Configuration of that kernel, as CONFIG_NAME=value lines; the running kernel's in /boot
    /// otherwise
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) kconfig: Option<PathBuf>,
}

/// What runs a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    /// The interpreter: every access checked
    Interp,
    /// Machine code
    Jit,
}

/// How instructions are spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Style {
    /// As bpftool and the verifier's log
    Kernel,
    /// As llvm-objdump
    Llvm,
}

/// `NAME=VALUE`.
fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".into()),
    }
}

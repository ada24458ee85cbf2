//! What all objects and runs of one runtime share.

use std::sync::Arc;

use btf::Btf;
use parking_lot::{Mutex, RwLock};
use uapi::HelperProto;
use verifier::Policy;

use crate::attach::link::Link;
use crate::btf_obj::BtfObj;
use crate::clock::{Clock, Random};
use crate::counting::Counting;
use crate::cpus::Cpus;
use crate::device::Network;
use crate::engine::{self, Engine};
use crate::heap::Heap;
use crate::helpers::Owners;
use crate::hook::Registry;
use crate::later::Later;
use crate::limits::{Account, Limits};
use crate::map_obj::MapObj;
use crate::objects::Ids;
use crate::processes::Processes;
use crate::prog::Prog;
use crate::route::Routes;
use crate::socket::Socket;
use crate::trace::TracePipe;

/// Settings of a [`crate::Runtime`].
#[derive(Clone, Debug)]
pub struct Config {
    /// Logical CPUs; 0 takes the machine's.
    pub cpus: u32,
    /// What the loader may do.
    pub policy: Policy,
    /// The kernel's BTF.
    pub kernel_btf: Option<Arc<Btf>>,
    /// Bytes that one map may take; 0 takes the machine's memory.
    pub map_memory: u64,
    /// Clock and random numbers repeat from run to run, starting at `now_ns`, one microsecond a
    /// question.
    pub deterministic: Option<Deterministic>,
    /// Instructions that one run may take in the interpreter; callbacks from helpers in machine
    /// code, whose other work the verifier bounds.
    pub fuel: u64,
    /// What runs programs; by default what `RING3_ENGINE` (`interp`, `jit`, `jit-dump`) says, else
    /// machine code where there is any.
    pub engine: Engine,
    /// Keeps a hex dump of each program's machine code for [`crate::Runtime::take_jit_dump`].
    pub jit_dump: bool,
    /// Hides the constants of programs from their machine code (`bpf_jit_harden`).
    pub jit_harden: bool,
    /// Puts maps where another process can have them at the same addresses.
    pub shared_maps: bool,
    /// What all users of the runtime may take together.
    pub limits: Limits,
}

/// A repeatable run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deterministic {
    /// The first answer of the clock, in nanoseconds.
    pub now_ns: u64,
    /// Seed of random numbers and hashes.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Config {
        let (engine, jit_dump) = engine::from_environment();
        Config {
            cpus: 0,
            policy: Policy::default(),
            kernel_btf: None,
            map_memory: 0,
            deterministic: None,
            fuel: interp::Limits::default().fuel,
            engine,
            jit_dump,
            jit_harden: false,
            shared_maps: false,
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// These settings with Linux's `bpf_jit_enable`: 0 interpreter, 1 machine code, 2 machine code
    /// with a dump; `None` for another number.
    pub fn bpf_jit_enable(self, value: u32) -> Option<Config> {
        let (engine, jit_dump) = engine::setting(&value.to_string())?;
        Some(Config { engine, jit_dump, ..self })
    }
}

/// A function of the embedder that programs may call.
pub type HostFn = Arc<dyn Fn([u64; 5]) -> u64 + Send + Sync>;

/// A registered host helper.
#[derive(Clone)]
pub(crate) struct HostHelper {
    pub(crate) proto: HelperProto,
    pub(crate) body: HostFn,
}

/// Shared by all.
pub(crate) struct Core {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) random: Random,
    pub(crate) trace: TracePipe,
    pub(crate) cpus: Arc<Cpus>,
    pub(crate) env: maps::Env,
    pub(crate) progs: Ids<Prog>,
    pub(crate) maps: Ids<MapObj>,
    pub(crate) btfs: Ids<BtfObj>,
    pub(crate) links: Ids<Link>,
    pub(crate) hooks: Arc<Registry>,
    pub(crate) network: Network,
    pub(crate) host_helpers: RwLock<Vec<HostHelper>>,
    pub(crate) counting: Arc<Counting>,
    pub(crate) processes: Processes,
    /// Dumps of machine code that nobody has taken yet.
    pub(crate) jit_dumps: Mutex<String>,
    pub(crate) map_bytes: Account,
    /// Objects of programs.
    pub(crate) heap: Arc<Heap>,
    /// Timers and work.
    pub(crate) later: Arc<Later>,
    /// What the user told of the network around.
    pub(crate) routes: RwLock<Option<Arc<dyn Routes>>>,
    /// Sockets that programs may find.
    pub(crate) sockets: RwLock<Vec<Arc<Socket>>>,
    /// Maps of struct_ops that are registered without a link.
    pub(crate) registered: Mutex<Vec<Arc<MapObj>>>,
    /// What SYN cookies are made with.
    pub(crate) secret: u64,
}

impl Drop for Core {
    fn drop(&mut self) {
        self.later.stop();
    }
}

impl Core {
    /// A core that programs' timers run in.
    pub(crate) fn shared(config: Config) -> Arc<Core> {
        let core = Arc::new(Core::new(config));
        core.later.belongs_to(Arc::downgrade(&core));
        core
    }

    /// What special fields of map values own things in.
    pub(crate) fn owners(&self) -> Owners {
        Owners { heap: self.heap.clone(), later: self.later.clone() }
    }

    pub(crate) fn new(mut config: Config) -> Core {
        if config.cpus == 0 {
            config.cpus = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
        }
        config.policy.cpus = config.cpus;
        let seed = config.deterministic.map_or_else(Random::fresh_seed, |d| d.seed);
        let clock = match config.deterministic {
            Some(d) => Clock::Set { now: d.now_ns.into(), step: 1000 },
            None => Clock::Machine,
        };
        let random = Random::new(seed);
        let mut env = maps::Env::new(config.cpus, random.next() as u32);
        if config.map_memory != 0 {
            env.mem_limit = config.map_memory;
        }
        if config.shared_maps {
            // Without room for it programs run here all the same.
            env.region = maps::Region::new().ok();
        }
        Core {
            clock,
            secret: random.next(),
            random,
            trace: TracePipe::default(),
            cpus: Cpus::new(config.cpus),
            env,
            progs: Ids::default(),
            maps: Ids::default(),
            btfs: Ids::default(),
            links: Ids::default(),
            hooks: Arc::default(),
            network: Network::default(),
            host_helpers: RwLock::default(),
            counting: Arc::default(),
            processes: Processes::default(),
            jit_dumps: Mutex::default(),
            map_bytes: Account::default(),
            heap: Arc::default(),
            routes: RwLock::default(),
            sockets: RwLock::default(),
            later: Arc::default(),
            registered: Mutex::default(),
            config,
        }
    }
}

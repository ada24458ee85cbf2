//! The memory of a context: its bytes, which words are addresses, what lies where.

use std::sync::Arc;

use btf::{Btf, Kind, TypeId};
use runtime::door::{GivenCtx, GivenSysctl};

use super::{ContextError, Path, Subject};

/// Where the context begins: behind the number of arguments.
pub(super) const CONTEXT: usize = 8;
/// Most memory, in bytes: what the runtime takes.
const LIMIT: usize = 4 << 20;
const ALIGN: usize = 16;

/// A type and the BTF that it is in.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    pub(super) btf: Arc<Btf>,
    pub(super) id: TypeId,
}

impl Typed {
    pub(super) fn at(&self, id: TypeId) -> Typed {
        Typed { btf: self.btf.clone(), id }
    }

    /// Bytes; 0 for what has no size.
    pub(super) fn size(&self) -> usize {
        self.btf.size_of(self.id).map_or(0, |size| size as usize)
    }

    /// The type under typedefs and qualifiers.
    pub(super) fn resolved(&self) -> Option<btf::Type<'_>> {
        self.btf.resolved(self.id)
    }

    /// As C spells it.
    pub(super) fn text(&self) -> String {
        btf::c::declaration(&self.btf, self.id, "").map_or_else(
            |_| self.resolved().map_or("void".into(), |ty| ty.name.to_owned()),
            |text| text.trim_end().to_owned(),
        )
    }
}

/// A value of a known type in the memory.
pub(super) struct Object {
    pub(super) at: usize,
    pub(super) ty: Typed,
    /// The names on the way to it.
    pub(super) path: Vec<String>,
}

/// Memory that grows as a context is written.
pub(super) struct Memory {
    bytes: Vec<u8>,
    pointers: Vec<u32>,
    /// What was written where, the outer ones first.
    pub(super) objects: Vec<Object>,
    pub(super) own: Option<Arc<Btf>>,
    pub(super) kernel: Option<Arc<Btf>>,
    context_size: usize,
    /// Bytes that the context points to by start and end: offset, length, name.
    pub(super) span: Option<(usize, usize, &'static str)>,
    /// The bytes are a message, which programs may make longer.
    pub(super) is_message: bool,
    /// Where the socket of the context is.
    pub(super) socket: Option<usize>,
    pub(super) sysctl: Option<GivenSysctl>,
    pub(super) counter: Vec<u64>,
}

impl Memory {
    pub(super) fn new(subject: &Subject) -> Memory {
        Memory {
            bytes: vec![0; CONTEXT],
            pointers: Vec::new(),
            objects: Vec::new(),
            own: subject.own.clone(),
            kernel: subject.kernel.clone(),
            context_size: 0,
            span: None,
            is_message: false,
            socket: None,
            sysctl: None,
            counter: Vec::new(),
        }
    }

    /// `size` zero bytes; the first allocation is the context.
    pub(super) fn allocate(&mut self, size: usize, path: &Path) -> Result<usize, ContextError> {
        let at = match self.bytes.len() {
            CONTEXT => CONTEXT,
            len => len.next_multiple_of(ALIGN),
        };
        if size > LIMIT || at + size > LIMIT {
            return Err(ContextError::TooMuch { path: path.into(), limit: LIMIT });
        }
        if at == CONTEXT {
            self.context_size = size;
        }
        // One byte more keeps addresses of neighbours apart where a size is 0.
        self.bytes.resize(at + size.max(1), 0);
        Ok(at)
    }

    /// A zero value of this type.
    pub(super) fn object(&mut self, ty: &Typed, path: &Path) -> Result<usize, ContextError> {
        let at = self.allocate(ty.size(), path)?;
        self.note_socket(ty, at);
        self.objects.push(Object { at, ty: ty.clone(), path: path.steps().to_vec() });
        Ok(at)
    }

    pub(super) fn put(&mut self, at: usize, bytes: &[u8]) {
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    pub(super) fn bytes(&self, at: usize, len: usize) -> &[u8] {
        self.bytes.get(at..at + len).unwrap_or(&[])
    }

    /// Makes the word at `at` the address of offset `to`.
    pub(super) fn point(&mut self, at: usize, to: usize) {
        self.put(at, &(to as u64).to_le_bytes());
        self.pointers.push(at as u32);
    }

    /// The first socket that the context points to is its own.
    pub(super) fn note_socket(&mut self, ty: &Typed, at: usize) {
        let is_sock = ty.resolved().is_some_and(|t| t.name == "bpf_sock");
        if is_sock && self.socket.is_none() && at != CONTEXT {
            self.socket = Some(at);
        }
    }

    /// Tells the program how many arguments there are.
    pub(super) fn count_arguments(&mut self, count: usize) {
        self.put(0, &(count as u64).to_le_bytes());
    }

    pub(super) fn set_span(&mut self, at: usize, len: usize, name: &'static str) {
        self.span = Some((at, len, name));
    }

    pub(super) fn context_size(&self) -> usize {
        self.context_size
    }

    /// The definition of a structure, the kernel's before the program's own.
    pub(super) fn structure(&self, kind: Kind, name: &str) -> Option<Typed> {
        let whole = |btf: &Arc<Btf>| {
            let id = btf.find_by_name(name, kind)?;
            Some(Typed { btf: btf.clone(), id })
        };
        self.kernel.as_ref().and_then(whole).or_else(|| self.own.as_ref().and_then(whole))
    }

    pub(super) fn given(&self) -> GivenCtx {
        let mut pointers = self.pointers.clone();
        pointers.sort_unstable();
        pointers.dedup();
        GivenCtx {
            memory: self.bytes.clone(),
            ctx: CONTEXT as u32,
            pointers,
            socket: self.socket.map(|at| at as u32),
            message: self
                .span
                .filter(|_| self.is_message)
                .map(|(at, len, _)| (at as u32, len as u32)),
            sysctl: self.sysctl.clone(),
            counter: self.counter.clone(),
            ..GivenCtx::default()
        }
    }
}

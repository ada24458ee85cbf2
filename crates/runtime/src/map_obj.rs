//! A map as an object: id, BTF, and who in user space holds it.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::{Arc, OnceLock, Weak};

use btf::fields::Record;
use maps::Map;
use parking_lot::Mutex;
use uapi::{Errno, MapType, ProgType};

use crate::btf_obj::BtfObj;
use crate::helpers::{Fields, Owners};
use crate::limits::Charge;
use crate::prog::Prog;
use crate::struct_ops::Operations;

/// A map object.
pub(crate) struct MapObj {
    pub(crate) id: u32,
    pub(crate) map: Map,
    pub(crate) btf: Option<Arc<BtfObj>>,
    /// Special fields of its values.
    pub(crate) fields: Record,
    /// Both of the maps that are its values.
    pub(crate) inner: Option<Box<InnerTypes>>,
    /// What the programs of a program array are like; the first one decides.
    pub(crate) owner: OnceLock<Owner>,
    user: Mutex<Weak<User>>,
    perf: Mutex<Perf>,
    /// Programs that go with elements of maps of interfaces and CPUs.
    entry_progs: Mutex<BTreeMap<Box<[u8]>, Arc<Prog>>>,
    /// What the special fields own things in.
    owners: Option<Owners>,
    /// Of struct_ops: the structure.
    pub(crate) operations: Option<Operations>,
    _charge: Charge,
}

/// What the values of inner maps are made of.
pub(crate) struct InnerTypes {
    pub(crate) btf: Option<Arc<BtfObj>>,
    pub(crate) fields: Record,
}

/// What a program sent through a perf event array.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PerfRecord {
    /// The element it was sent to.
    pub cpu: u32,
    /// When, in nanoseconds since boot.
    pub time: u64,
    /// Its bytes.
    pub data: Vec<u8>,
}

/// Records that nobody has read yet.
#[derive(Default)]
struct Perf {
    records: Vec<PerfRecord>,
    bytes: usize,
}

/// Bytes of records kept when nobody reads.
const PERF_MAX: usize = 16 << 20;

/// User space's hold on a map: descriptors and pins share it.
///
/// When it goes, a program array forgets its programs, which may hold the array themselves.
pub(crate) struct User(Arc<MapObj>);

impl Deref for User {
    type Target = Arc<MapObj>;

    fn deref(&self) -> &Arc<MapObj> {
        &self.0
    }
}

/// What programs must share to call each other through an array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Owner {
    pub(crate) prog_type: ProgType,
    pub(crate) attach_type: u32,
    /// XDP on packets in several pieces.
    pub(crate) frags: bool,
    /// Prototype of the function that they are attached to; 0 for none.
    pub(crate) proto: u32,
}

impl Drop for User {
    fn drop(&mut self) {
        let array = self.map.def().map_type == MapType::ProgArray;
        if let (true, Some(refs)) = (array, self.map.ops().refs()) {
            refs.clear();
        }
        if let Some(owners) = &self.owners {
            owners.later.forget_map(self);
        }
    }
}

impl MapObj {
    pub(crate) fn new(id: u32, map: Map, charge: Charge) -> MapObj {
        MapObj {
            id,
            map,
            btf: None,
            fields: Record::default(),
            inner: None,
            owner: OnceLock::new(),
            user: Mutex::default(),
            perf: Mutex::default(),
            entry_progs: Mutex::default(),
            owners: None,
            operations: None,
            _charge: charge,
        }
    }

    /// The same, its keys and values made of these types.
    pub(crate) fn of_types(
        self,
        btf: Option<Arc<BtfObj>>,
        fields: Record,
        inner: Option<Box<InnerTypes>>,
    ) -> MapObj {
        MapObj { btf, fields, inner, ..self }
    }

    /// The same, the special fields of its values kept by the rules.
    pub(crate) fn guarded(self, cpus: u32, owners: Owners) -> MapObj {
        if self.fields.is_empty() {
            return self;
        }
        let MapObj { map, fields, .. } = self;
        let (def, record, own) = (map.def().clone(), fields.clone(), owners.clone());
        let map = map.wrapped(|ops| Box::new(Fields::new(ops, &def, record, cpus, own)));
        MapObj { map, fields, owners: Some(owners), ..self }
    }

    /// User space holds it.
    pub(crate) fn is_held(&self) -> bool {
        self.user.lock().strong_count() > 0
    }

    /// The same with the structure that it holds.
    pub(crate) fn of_operations(self, operations: Option<Operations>) -> MapObj {
        MapObj { operations, ..self }
    }

    /// User space's hold, a new one if it had let go.
    pub(crate) fn user(self: &Arc<MapObj>) -> Arc<User> {
        let mut user = self.user.lock();
        user.upgrade().unwrap_or_else(|| {
            let new = Arc::new(User(self.clone()));
            *user = Arc::downgrade(&new);
            new
        })
    }

    /// EINVAL if such programs do not go with the array's.
    pub(crate) fn owned_by(&self, of: Owner) -> Result<(), Errno> {
        let owner = *self.owner.get_or_init(|| of);
        if owner == of { Ok(()) } else { Err(Errno::EINVAL) }
    }

    /// The type of the programs in it, once there was one.
    pub(crate) fn owner(&self) -> Option<ProgType> {
        self.owner.get().map(|owner| owner.prog_type)
    }

    /// The program of the element under this key.
    pub(crate) fn entry_prog(&self, key: &[u8]) -> Option<Arc<Prog>> {
        self.entry_progs.lock().get(key).cloned()
    }

    /// Gives it one, or none.
    pub(crate) fn set_entry_prog(&self, key: &[u8], prog: Option<Arc<Prog>>) {
        let mut progs = self.entry_progs.lock();
        let before = match prog {
            Some(prog) => progs.insert(key.into(), prog),
            None => progs.remove(key),
        };
        drop(progs);
        // Only now: the program may hold the map.
        drop(before);
    }

    /// Keeps a perf record; ENOSPC when too much is unread, as a full perf buffer says.
    pub(crate) fn record(&self, record: PerfRecord) -> Result<(), Errno> {
        let mut perf = self.perf.lock();
        let size = record.data.len() + size_of::<PerfRecord>();
        if perf.bytes + size > PERF_MAX {
            return Err(Errno::ENOSPC);
        }
        perf.bytes += size;
        perf.records.push(record);
        Ok(())
    }

    /// The unread perf records.
    pub(crate) fn take_records(&self) -> Vec<PerfRecord> {
        std::mem::take(&mut *self.perf.lock()).records
    }

    /// What programs hold for it.
    pub(crate) fn handle(&self) -> u64 {
        std::ptr::from_ref(self) as u64
    }

    pub(crate) fn key_size(&self) -> usize {
        self.map.def().key_size as usize
    }

    pub(crate) fn value_size(&self) -> usize {
        self.map.def().value_size as usize
    }
}

//! The types of a kernel that the tables' programs attach to, small and the same on every machine.

use std::sync::Arc;

use btf::{Btf, BtfBuilder, Encoding, Linkage, NewMember, TypeId};

/// Operations of a structure: index of the member, its name, its arguments, what its stub calls
/// the first one.
type Operation = (usize, &'static str, &'static [&'static str], &'static str);

/// Those of `tcp_congestion_ops` at their places in Linux 6.18.
const TCP: &[Operation] = &[
    (0, "ssthresh", &["sock"], "sk"),
    (7, "cong_control", &["sock", "int", "int", "rate_sample"], "sk"),
    (10, "get_info", &["sock"], "sk"),
    (16, "init", &["sock"], "sk"),
    (17, "release", &["sock"], "sk"),
];
const DUMMY: &[Operation] = &[
    (0, "test_1", &["bpf_dummy_ops_state"], "cb__nullable"),
    (1, "test_2", &["bpf_dummy_ops_state"], "cb"),
    (2, "test_sleepable", &["bpf_dummy_ops_state"], "cb"),
];
/// Structures that contexts point to.
const STRUCTURES: &[&str] = &[
    "task_struct",
    "bpf_iter_meta",
    "sock",
    "tcp_sock",
    "rate_sample",
    "bpf_dummy_ops_state",
    "nf_hook_state",
    "sk_buff",
];

/// The model.
pub(super) fn model() -> Result<Arc<Btf>, String> {
    let mut types = Types { b: BtfBuilder::new(), named: Vec::new(), int: TypeId(0) };
    types.int = types.b.int("int", 4, Encoding { signed: true, ..Encoding::default() });
    for name in STRUCTURES {
        let member = NewMember { name: "a", type_id: types.int, bit_offset: 0, bitfield_size: 0 };
        let id = types.b.structure(name, 4, &[member]);
        types.named.push((name, id));
    }
    types.iterator();
    types.tracepoint();
    types.operations("tcp_congestion_ops", 18, TCP);
    types.operations("bpf_dummy_ops", 3, DUMMY);
    types.value("bpf_struct_ops_tcp_congestion_ops");
    types.b.build().map(Arc::new).map_err(|e| e.to_string())
}

struct Types {
    b: BtfBuilder,
    named: Vec<(&'static str, TypeId)>,
    int: TypeId,
}

impl Types {
    fn pointer(&mut self, name: &str) -> TypeId {
        let found = self.named.iter().find(|(n, _)| *n == name);
        let id = found.map_or(TypeId(0), |(_, id)| *id);
        self.b.ptr(id)
    }

    fn argument(&mut self, name: &str) -> TypeId {
        if name == "int" { self.int } else { self.pointer(name) }
    }

    fn iterator(&mut self) {
        let (meta, task) = (self.pointer("bpf_iter_meta"), self.pointer("task_struct"));
        let proto = self.b.func_proto(self.int, &[("meta", meta), ("task", task)]);
        self.b.func("bpf_iter_task", proto, Linkage::Global);
    }

    fn tracepoint(&mut self) {
        let (nothing, task) = (self.b.ptr(TypeId(0)), self.pointer("task_struct"));
        let int = self.int;
        let args = [("", nothing), ("", int), ("", task), ("", task), ("", int)];
        let proto = self.b.func_proto(TypeId(0), &args);
        let pointer = self.b.ptr(proto);
        self.b.typedef("btf_trace_sched_switch", pointer);
    }

    fn operations(&mut self, name: &'static str, members: usize, rows: &[Operation]) {
        let mut slots = vec![("", self.int); members];
        for (index, member, args, stub) in rows {
            let args: Vec<_> = args.iter().map(|arg| self.argument(arg)).collect();
            let nameless: Vec<_> = args.iter().map(|arg| ("", *arg)).collect();
            let proto = self.b.func_proto(self.int, &nameless);
            slots[*index] = (member, self.b.ptr(proto));
            let named: Vec<_> = args.iter().map(|arg| (*stub, *arg)).collect();
            let proto = self.b.func_proto(self.int, &named);
            self.b.func(&format!("{name}__{member}"), proto, Linkage::Static);
        }
        let names: Vec<String> = (0..members).map(|n| format!("member{n}")).collect();
        let member = |(n, (name, type_id)): (usize, &(&'static str, TypeId))| (n, *name, *type_id);
        let members: Vec<NewMember<'_>> = slots
            .iter()
            .enumerate()
            .map(member)
            .map(|(n, name, type_id)| NewMember {
                name: if name.is_empty() { &names[n] } else { name },
                type_id,
                bit_offset: 64 * n as u32,
                bitfield_size: 0,
            })
            .collect();
        let id = self.b.structure(name, 8 * members.len() as u32, &members);
        self.named.push((name, id));
    }

    /// What a map of such operations holds, of Linux's size.
    fn value(&mut self, name: &str) {
        let of = self.named.iter().find(|(n, _)| name.ends_with(n));
        let data = of.map_or(TypeId(0), |(_, id)| *id);
        let common = self.b.structure("bpf_struct_ops_common_value", 8, &[]);
        let members = [("common", common, 0), ("data", data, 64 * 8)];
        let members = members.map(|(name, type_id, bit_offset)| NewMember {
            name,
            type_id,
            bit_offset,
            bitfield_size: 0,
        });
        self.b.structure(name, 256, &members);
    }
}

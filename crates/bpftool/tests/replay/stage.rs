//! What the recorder did between the recorded commands: interfaces and links that bpftool cannot
//! make.

use std::path::Path;

use ring3::Object;
use runtime::Runtime;
use runtime::door::{AttachTo, Bpf, DeviceAdd, Fd, LinkCreate, ObjKind, ProgLoad, TcFilter};
use uapi::ProgType;

pub(crate) struct Stage {
    door: Runtime,
}

const PINS: &str = "/src/facts/bpffs";
const GROUP: &str = "/sys/fs/cgroup/unified/facts-13847";

/// `enum bpf_attach_type`.
const EGRESS: u32 = 1;
const FLOW_DISSECTOR: u32 = 17;
const SK_LOOKUP: u32 = 36;
const XDP: u32 = 37;
const NETFILTER: u32 = 45;
const TCX_INGRESS: u32 = 46;

impl Stage {
    /// The recording machine's interfaces: fv1 is number 2, fv0 number 3; `outside` is a folder.
    pub(crate) fn new(door: Runtime, outside: &Path) -> Stage {
        for name in ["fv1", "fv0"] {
            let req = DeviceAdd { name: name.into(), ..DeviceAdd::default() };
            door.device_add(&req).expect("an interface without packets");
        }
        // The folder that it had mounted, and one that is none of BPF's.
        for dir in [Path::new(PINS), outside] {
            let above: Vec<_> = dir.ancestors().filter(|dir| dir.parent().is_some()).collect();
            for dir in above.into_iter().rev() {
                door.fs_mkdir(dir.to_str().expect("it is UTF-8")).expect("a new name");
            }
        }
        Stage { door }
    }

    /// Before the recorded command `id`.
    pub(crate) fn before(&self, id: &str) {
        match id {
            "net.attach.xdp" => self.iterator(),
            "net.list" => self.filters(),
            "link.list" => self.links(),
            _ => {}
        }
    }

    /// The recorded iterator writes the name of each map on a line.
    fn iterator(&self) {
        let link = self.door.obj_get(&format!("{PINS}/iterpin"), 0).expect("iter pin made it");
        let text = self.door.iter_read(link).expect("maps have names");
        self.door.close(link).expect("open");
        let mut names = String::new();
        let mut id = 0;
        while let Ok(next) = self.door.next_id(ObjKind::Map, id) {
            id = next;
            let Ok(map) = self.door.fd_by_id(ObjKind::Map, id, 0) else { continue };
            names += &self.door.map_info(map).expect("a map").def.name;
            names.push('\n');
            self.door.close(map).expect("open");
        }
        assert_eq!(String::from_utf8_lossy(&text), names);
    }

    /// `tc filter add dev fv0 ingress bpf da object-pinned …/tc`, and the same for egress.
    fn filters(&self) {
        let prog = self.door.obj_get(&format!("{PINS}/tc"), 0).expect("tc is pinned");
        for egress in [false, true] {
            let label = "tc:[*fsobj]".into();
            let prog = Some(prog);
            let req = TcFilter { ifindex: 3, egress, prog, label, ..TcFilter::default() };
            self.door.tc_filter_add(&req).expect("an interface");
        }
        self.door.close(prog).expect("open");
    }

    fn links(&self) {
        let device = AttachTo::Device { ifindex: 3 };
        let pinned = |path: &str| self.door.obj_get(&format!("{PINS}/{path}"), 0).ok();
        let dissector = self.object("flowdis.bpf.o");
        let netfilter = AttachTo::Netfilter { pf: 2, hook: 0, priority: -128, flags: 0 };
        let group = AttachTo::Cgroup { path: GROUP.into() };
        let rows = [
            ("lnk_xdp", pinned("hello_xdp"), XDP, device.clone()),
            ("lnk_flowdis", dissector, FLOW_DISSECTOR, AttachTo::Netns {}),
            (
                "lnk_sk_lookup",
                self.passing(ProgType::SkLookup, SK_LOOKUP, 1),
                SK_LOOKUP,
                AttachTo::Netns {},
            ),
            ("lnk_tcx", self.passing(ProgType::SchedCls, TCX_INGRESS, 0), TCX_INGRESS, device),
            (
                "lnk_netfilter",
                self.passing(ProgType::Netfilter, NETFILTER, 1),
                NETFILTER,
                netfilter,
            ),
            ("lnk_cgroup", pinned("cg/eg"), EGRESS, group),
        ];
        for (name, prog, attach_type, to) in rows {
            let Some(prog) = prog else {
                eprintln!("no program for {name}");
                continue;
            };
            let req = LinkCreate { prog, attach_type, to, ..LinkCreate::default() };
            match self.door.link_create(&req) {
                Ok(link) => {
                    let path = format!("{PINS}/{name}");
                    self.door.obj_pin(link, &path).expect("a free name");
                    self.door.close(link).expect("open");
                }
                Err(errno) => eprintln!("{name}: {errno}"),
            }
        }
    }

    /// The first program of a recorded object.
    fn object(&self, file: &str) -> Option<Fd> {
        let bytes = std::fs::read(file).ok()?;
        let object = Object::parse(file, &bytes).ok()?;
        let fds = ring3::load::load(&self.door, &object, None).ok()?;
        fds.programs.first().copied().flatten()
    }

    /// `return value;`
    fn passing(&self, prog_type: ProgType, expected_attach_type: u32, value: i32) -> Option<Fd> {
        let insns = vec![isa::Insn::new(0xb7, 0, 0, 0, value), isa::Insn::new(0x95, 0, 0, 0, 0)];
        let req = ProgLoad {
            name: "tcxp".into(),
            prog_type: Some(prog_type),
            expected_attach_type,
            license: "GPL".into(),
            insns,
            ..ProgLoad::default()
        };
        let loaded = self.door.prog_load(&req);
        loaded.map_err(|error| eprintln!("{prog_type:?}: {error}")).ok().map(|loaded| loaded.fd)
    }
}

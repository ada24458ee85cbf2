//! Test runs of netfilter programs: a packet at a hook, the verdict out.

use std::collections::BTreeMap;

use btf::{Btf, Kind, TypeId};
use interp::Region;
use maps::View;
use maps::raw::Slab;
use uapi::Errno;

use super::{buffer, no_options, repeat, skb};
use crate::door::{TestRun, TestRunOut};
use crate::helpers::{Ctx, CtxCell};
use crate::packet::{FRAME, FRAME_TAIL, PacketBuf};
use crate::runner::Ready;
use crate::world::World;

/// Bytes of `struct nf_hook_state`: hook and family, six pointers' worth of members.
const STATE: usize = 48;
const IPV4_HLEN: usize = 20;
const IPV6_HLEN: usize = 40;
const ETH_HLEN: usize = 14;
const HEADROOM: usize = 64;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
const LOCAL_OUT: u8 = 3;
/// What each structure of the kernel takes here at most.
const PART: usize = 4096;
const LOOPBACK: u32 = 1;

pub(super) fn run(
    req: &TestRun,
    mut ready: Ready,
    kernel: Option<&Btf>,
) -> Result<TestRunOut, Errno> {
    no_options(req)?;
    let data = req.data_in.as_deref().unwrap_or_default();
    if data.len() < IPV4_HLEN || data.len() > FRAME - HEADROOM - FRAME_TAIL {
        return Err(Errno::EINVAL);
    }
    let ctx = buffer::context(req, STATE)?;
    let hook = ctx.as_deref().map_or(Ok(Hook { hook: LOCAL_OUT, pf: IPV4 }), Hook::read)?;
    let protocol = hook.protocol(data)?;
    let mut packet = PacketBuf::new()?;
    packet.place(HEADROOM, data)?;
    let header = if hook.hook == LOCAL_OUT { 0 } else { ETH_HLEN };
    let cell = CtxCell::new(skb::network(&packet, header, protocol));
    let kernel = Kernel::new(kernel, hook, &packet, header, protocol)?;
    ready.granted = vec![kernel.region()];
    let world = World { sk_buff: kernel.addr(Part::SkBuff), ..World::default() };
    let start = kernel.addr(Part::Context);
    let stop = ready.stop.clone();
    let result = repeat(req.repeat, &stop, || ready.run_on(Ctx::Skb(&cell), start, None, world))?;
    Ok(buffer::finish(req, result, Vec::new(), None))
}

/// Where the packet is.
#[derive(Clone, Copy)]
struct Hook {
    hook: u8,
    pf: u8,
}

impl Hook {
    /// `struct nf_hook_state` with hook and family alone.
    fn read(state: &[u8]) -> Result<Hook, Errno> {
        let hook = Hook { hook: state[0], pf: state[1] };
        let family = matches!(hook.pf, IPV4 | IPV6);
        // The padding before the first pointer is nobody's.
        let others = state[8..].iter().all(|b| *b == 0);
        if family && others { Ok(hook) } else { Err(Errno::EINVAL) }
    }

    /// The packet's protocol in network byte order: its Ethernet header says it but on the way out,
    /// where there is none.
    fn protocol(self, data: &[u8]) -> Result<u16, Errno> {
        const ETH_P_IP: u16 = 0x0800;
        const ETH_P_IPV6: u16 = 0x86dd;
        let own = if self.pf == IPV4 { ETH_P_IP } else { ETH_P_IPV6 };
        if self.hook != LOCAL_OUT {
            if data.len() < ETH_HLEN + IPV4_HLEN {
                return Err(Errno::EINVAL);
            }
            match u16::from_be_bytes([data[12], data[13]]) {
                ETH_P_IPV6 if data.len() < ETH_HLEN + IPV6_HLEN => return Err(Errno::EINVAL),
                found @ (ETH_P_IP | ETH_P_IPV6) if found == own => {}
                ETH_P_IP | ETH_P_IPV6 => return Err(Errno::EINVAL),
                _ => return Err(Errno::EPROTO),
            }
        }
        Ok(own.to_be())
    }
}

#[derive(Clone, Copy)]
enum Part {
    Context,
    State,
    SkBuff,
    Device,
}

/// The kernel's structures as the program sees them, filled by their names in its BTF.
struct Kernel(Slab);

impl Kernel {
    fn new(
        btf: Option<&Btf>,
        hook: Hook,
        packet: &PacketBuf,
        header: usize,
        protocol: u16,
    ) -> Result<Kernel, Errno> {
        let kernel = Kernel(Slab::new(4 * PART)?);
        kernel.put(Part::Context, 0, &kernel.addr(Part::State).to_ne_bytes());
        kernel.put(Part::Context, 8, &kernel.addr(Part::SkBuff).to_ne_bytes());
        let device = kernel.addr(Part::Device).to_ne_bytes();
        let head = packet.addr(0);
        let offset = |at: usize| (at as u16).to_ne_bytes().to_vec();
        let start = packet.start + header;
        let fill = |part: Part, structure: &str, fields: Vec<(&str, Vec<u8>)>| {
            let offsets = btf.map(|btf| offsets(btf, structure)).unwrap_or_default();
            for (name, bytes) in fields {
                if let Some(at) = offsets.get(name) {
                    kernel.put(part, *at as usize, &bytes);
                }
            }
        };
        fill(
            Part::State,
            "nf_hook_state",
            vec![
                ("hook", vec![hook.hook]),
                ("pf", vec![hook.pf]),
                // Linux's test run has the packet on its way out at every hook.
                ("out", device.to_vec()),
            ],
        );
        fill(
            Part::SkBuff,
            "sk_buff",
            vec![
                ("len", ((packet.end - start) as u32).to_ne_bytes().to_vec()),
                ("protocol", protocol.to_ne_bytes().to_vec()),
                ("head", head.to_ne_bytes().to_vec()),
                ("data", packet.addr(start).to_ne_bytes().to_vec()),
                ("network_header", offset(start)),
                ("mac_header", offset(packet.start)),
                ("tail", (packet.end as u32).to_ne_bytes().to_vec()),
                ("end", (packet.limit as u32).to_ne_bytes().to_vec()),
                ("dev", device.to_vec()),
            ],
        );
        let name = vec![("ifindex", LOOPBACK.to_ne_bytes().to_vec()), ("name", b"lo\0".to_vec())];
        fill(Part::Device, "net_device", name);
        Ok(kernel)
    }

    fn addr(&self, part: Part) -> u64 {
        self.0.addr(part as usize * PART)
    }

    fn put(&self, part: Part, at: usize, bytes: &[u8]) {
        if at + bytes.len() <= PART {
            self.0.write(part as usize * PART + at, View::from(bytes));
        }
    }

    fn region(&self) -> Region {
        let start = self.0.addr(0);
        Region { start, end: start + self.0.len() as u64, writable: false }
    }
}

/// Byte offsets of the members of a structure, those of nameless ones in it too.
fn offsets<'b>(btf: &'b Btf, structure: &str) -> BTreeMap<&'b str, u32> {
    let mut all = BTreeMap::new();
    if let Some(id) = btf.find_by_name(structure, Kind::Struct) {
        members(btf, id, 0, 8, &mut all);
    }
    all
}

fn members<'b>(btf: &'b Btf, id: TypeId, base: u32, depth: u32, all: &mut BTreeMap<&'b str, u32>) {
    let Some(ty) = btf.resolved(id).filter(|t| t.kind.is_composite()) else { return };
    for member in ty.members() {
        let at = base + member.bit_offset / 8;
        if !member.name.is_empty() {
            all.entry(member.name).or_insert(at);
        } else if depth > 0 {
            members(btf, member.type_id, at, depth - 1, all);
        }
    }
}

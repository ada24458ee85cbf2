//! Packets between interfaces: verdicts are carried out in Linux's order. What is expected is
//! counted by hand.

mod common;

use std::sync::{Arc, Mutex};

use common::{EXIT, call, i, ld_map, mov, ours, request};
use isa::Insn;
use runtime::door::{AttachTo, DeviceAdd, DeviceCounts, ProgAttach};
use runtime::{Bpf, Device, Fd, Path, Runtime, Sink};
use uapi::{Errno, MapDef, MapType, ProgType};

const TCX_INGRESS: u32 = 46;
const TCX_EGRESS: u32 = 47;
const XDP_DEVMAP: u32 = 33;
const SKB_MODE: u32 = 2;
/// Helpers.
const CLONE_REDIRECT: i32 = 13;
const REDIRECT: i32 = 23;
const REDIRECT_MAP: i32 = 51;

/// An Ethernet frame of 60 bytes whose last byte is `mark`.
fn frame(mark: u8) -> Vec<u8> {
    let mut bytes = vec![0; 60];
    bytes[12..14].copy_from_slice(&[0x08, 0x00]);
    bytes[14] = 0x45;
    bytes[59] = mark;
    bytes
}

type Sent = Arc<Mutex<Vec<Vec<u8>>>>;

struct Kept(Sent);

impl Sink for Kept {
    fn send(&mut self, packet: &[u8]) -> Result<(), String> {
        self.0.lock().expect("one thread").push(packet.to_vec());
        Ok(())
    }
    fn flush(&mut self) -> Result<(), String> {
        Ok(())
    }
}

struct Net {
    door: Runtime,
}

impl Net {
    fn new() -> Net {
        Net { door: ours() }
    }

    fn add(&self, name: &str) -> (u32, Arc<Device>, Sent) {
        let req = DeviceAdd { name: name.into(), ..DeviceAdd::default() };
        let ifindex = self.door.device_add(&req).expect("a new name");
        let device = self.door.hooks().device(ifindex).expect("just made");
        let sent = Sent::default();
        device.set_sink(Box::new(Kept(sent.clone())));
        (ifindex, device, sent)
    }

    fn load(&self, prog_type: ProgType, attach_type: u32, insns: &[Insn]) -> Fd {
        let req = request(prog_type, insns);
        let req = runtime::ProgLoad { expected_attach_type: attach_type, ..req };
        self.door.prog_load(&req).unwrap_or_else(|e| panic!("{e}")).fd
    }

    fn xdp(&self, ifindex: u32, insns: &[Insn], mode: u32) {
        let prog = self.load(ProgType::Xdp, 0, insns);
        self.door.xdp_set(ifindex, Some(prog), mode).expect("no program is there");
    }

    fn tcx(&self, ifindex: u32, attach_type: u32, insns: &[Insn]) {
        let prog = Some(self.load(ProgType::SchedCls, 0, insns));
        let to = AttachTo::Device { ifindex };
        let req = ProgAttach { prog, attach_type, to, ..ProgAttach::default() };
        self.door.prog_attach(&req).expect("a list with room");
    }

    fn receive(&self, device: &Arc<Device>, packets: u8) {
        let mut path = Path::new(self.door.hooks()).expect("a page");
        (0..packets).for_each(|mark| path.receive(device, &frame(mark)));
    }
}

fn returning(value: i32) -> [Insn; 2] {
    [mov(0, value), EXIT]
}

/// `return bpf_redirect(ifindex, flags)`.
fn redirect(ifindex: u32, flags: i32) -> [Insn; 4] {
    [mov(1, ifindex as i32), mov(2, flags), call(REDIRECT), EXIT]
}

fn redirect_map(map: Fd, key: i32, flags: i32) -> Vec<Insn> {
    let mut insns = ld_map(1, map).to_vec();
    insns.extend([mov(2, key), mov(3, flags), call(REDIRECT_MAP), EXIT]);
    insns
}

/// Drops what has come in by `ifindex` (`__sk_buff.ingress_ifindex`), passes the rest.
fn drops_from(ifindex: u32) -> [Insn; 5] {
    [i(0x61, 2, 1, 36, 0), mov(0, 0), i(0x55, 2, 0, 1, ifindex as i32), mov(0, 2), EXIT]
}

#[test]
fn xdp_tx_leaves_by_the_same_interface_past_tcx() {
    let net = Net::new();
    let (a, device, sent) = net.add("a");
    net.xdp(a, &returning(3), 0);
    net.tcx(a, TCX_EGRESS, &returning(2));
    net.receive(&device, 3);
    let wanted = DeviceCounts {
        packets: 3,
        bytes: 180,
        tx: 3,
        sent: 3,
        sent_bytes: 180,
        ..DeviceCounts::default()
    };
    assert_eq!(device.counts(), wanted);
    assert_eq!(*sent.lock().expect("one thread"), [frame(0), frame(1), frame(2)]);
}

#[test]
fn xdp_redirect_leaves_by_the_other_past_tcx_and_xdp() {
    let net = Net::new();
    let (a, from, _) = net.add("a");
    let (b, to, sent) = net.add("b");
    net.xdp(a, &redirect(b, 0), 0);
    net.xdp(b, &returning(1), 0);
    net.tcx(b, TCX_EGRESS, &returning(2));
    net.receive(&from, 2);
    assert_eq!((from.counts().redirect, from.counts().lost, from.counts().sent), (2, 0, 0));
    let wanted = DeviceCounts { sent: 2, sent_bytes: 120, ..DeviceCounts::default() };
    assert_eq!(to.counts(), wanted);
    assert_eq!(sent.lock().expect("one thread").len(), 2);
    // An interface that is gone.
    net.door.device_del("b").expect("it is there");
    net.receive(&from, 1);
    assert_eq!((from.counts().redirect, from.counts().lost), (3, 1));
}

#[test]
fn device_maps_send_to_one_or_to_all_with_their_programs() {
    for map_type in [MapType::Devmap, MapType::DevmapHash] {
        let net = Net::new();
        let (a, from, _) = net.add("a");
        let (b, to_b, _) = net.add("b");
        let (c, to_c, _) = net.add("c");
        let map = net.door.map_create(&MapDef::new(map_type, 4, 8, 4).into()).expect("a map");
        let put = |key: u32, ifindex: u32, fd: i32| {
            let value: Vec<u8> =
                [ifindex as i32, fd].iter().flat_map(|n| n.to_ne_bytes()).collect();
            net.door.map_update(map, &key.to_ne_bytes(), &value, 0)
        };
        let drop_all = net.load(ProgType::Xdp, XDP_DEVMAP, &returning(1));
        let plain = net.load(ProgType::Xdp, 0, &returning(1));
        assert_eq!(put(0, 99, 0), Err(Errno::EINVAL), "no such interface");
        assert_eq!(put(0, b, plain.0), Err(Errno::EINVAL), "loaded for an interface");
        assert_eq!(put(0, b, 77), Err(Errno::EINVAL), "no such descriptor");
        for (key, ifindex, fd) in [(0, a, 0), (1, b, 0), (2, c, drop_all.0)] {
            put(key, ifindex, fd).expect("room");
        }
        let mut value = [0; 8];
        net.door.map_lookup(map, &2_u32.to_ne_bytes(), &mut value, 0).expect("set above");
        let id = net.door.prog_info(drop_all).expect("loaded above").id;
        assert_eq!(value[4..], id.to_ne_bytes(), "a lookup tells the id");
        // One by its key.
        net.xdp(a, &redirect_map(map, 1, 0), 0);
        net.receive(&from, 5);
        assert_eq!((to_b.counts().sent, to_c.counts().sent), (5, 0), "{map_type:?}");
        net.door.xdp_set(a, None, 0).expect("one is there");
        // Its program drops what goes to c.
        net.xdp(a, &redirect_map(map, 2, 0), 0);
        net.receive(&from, 5);
        assert_eq!((from.counts().redirect, to_c.counts().sent), (10, 0));
        net.door.xdp_set(a, None, 0).expect("one is there");
        // A key without element: the flags' verdict, XDP_PASS.
        net.xdp(a, &redirect_map(map, 3, 2), 0);
        net.receive(&from, 1);
        assert_eq!((from.counts().redirect, from.counts().pass), (10, 1));
        net.door.xdp_set(a, None, 0).expect("one is there");
        // All but the one it came by.
        net.xdp(a, &redirect_map(map, 0, 8 | 16), 0);
        net.receive(&from, 4);
        assert_eq!((from.counts().sent, to_b.counts().sent, to_c.counts().sent), (0, 9, 0));
        // An interface that goes takes its elements with it.
        net.door.device_del("b").expect("it is there");
        let looked = net.door.map_lookup(map, &1_u32.to_ne_bytes(), &mut value, 0);
        assert_eq!(looked, Err(Errno::ENOENT), "{map_type:?}");
    }
}

#[test]
fn tc_redirects_leave_past_egress_or_come_in_again() {
    let net = Net::new();
    let (a, from, _) = net.add("a");
    let (b, to, sent) = net.add("b");
    net.tcx(a, TCX_INGRESS, &redirect(b, 0));
    net.receive(&from, 3);
    assert_eq!((from.counts().tc_redirect, from.counts().pass, to.counts().sent), (3, 3, 3));
    // Egress of b sees where it had come in.
    net.tcx(b, TCX_EGRESS, &drops_from(a));
    net.receive(&from, 2);
    assert_eq!((to.counts().egress_drop, to.counts().sent), (2, 3));
    assert_eq!(sent.lock().expect("one thread").len(), 3);
    // As if it had come in by c, whose driver's XDP does not see it, and whose ingress does.
    let (c, again, _) = net.add("c");
    let (d, other, _) = net.add("d");
    net.tcx(d, TCX_INGRESS, &redirect(c, 1));
    net.xdp(c, &returning(1), 0);
    net.tcx(c, TCX_INGRESS, &drops_from(c));
    net.receive(&other, 2);
    let counts = again.counts();
    assert_eq!((counts.packets, counts.pass, counts.drop, counts.tc_drop), (2, 2, 0, 2));
    // Its generic XDP does.
    net.door.xdp_set(c, None, 0).expect("one is there");
    net.xdp(c, &returning(1), SKB_MODE);
    net.receive(&other, 2);
    assert_eq!((again.counts().drop, again.counts().tc_drop), (2, 2));
}

#[test]
fn copies_leave_and_the_packet_goes_on() {
    let net = Net::new();
    let (a, from, _) = net.add("a");
    let (b, to, sent) = net.add("b");
    // r6 = skb; bpf_clone_redirect(skb, b, 0); return bpf_clone_redirect(skb, 99, 0) + 22;
    let insns = [
        i(0xbf, 6, 1, 0, 0),
        mov(2, b as i32),
        mov(3, 0),
        call(CLONE_REDIRECT),
        i(0xbf, 1, 6, 0, 0),
        mov(2, 99),
        mov(3, 0),
        call(CLONE_REDIRECT),
        i(0x07, 0, 0, 0, 22),
        EXIT,
    ];
    net.tcx(a, TCX_INGRESS, &insns);
    net.receive(&from, 4);
    // -EINVAL + 22 is TC_ACT_OK.
    assert_eq!((from.counts().tc_pass, from.counts().tc_drop), (4, 0));
    assert_eq!((to.counts().sent, sent.lock().expect("one thread").len()), (4, 4));
}

#[test]
fn packets_sent_round_in_circles_are_lost_in_the_end() {
    let net = Net::new();
    let (a, from, _) = net.add("a");
    net.tcx(a, TCX_INGRESS, &redirect(a, 1));
    net.receive(&from, 1);
    assert_eq!(from.counts().lost, 1);
}

#[test]
fn what_leaves_by_one_end_of_a_wire_arrives_at_the_other() {
    let net = Net::new();
    let peer = Some("right".to_owned());
    let req = DeviceAdd { name: "left".into(), peer, ..DeviceAdd::default() };
    let left = net.door.device_add(&req).expect("two new names");
    assert_eq!(net.door.device_add(&req), Err(Errno::EEXIST));
    let hooks = net.door.hooks();
    let (one, other) = (hooks.device(left), hooks.device(left + 1));
    let (one, other) = (one.expect("just made"), other.expect("made with it"));
    let (a, from, _) = net.add("a");
    net.xdp(a, &redirect(left, 0), 0);
    net.xdp(left + 1, &returning(1), 0);
    net.receive(&from, 3);
    assert_eq!((one.counts().sent, other.counts().packets, other.counts().drop), (3, 3, 3));
    // Back again.
    net.door.xdp_set(left + 1, None, 0).expect("one is there");
    net.xdp(left + 1, &returning(3), 0);
    net.receive(&from, 2);
    assert_eq!((other.counts().tx, one.counts().packets), (2, 2));
    // Both ends go together.
    net.door.device_del("right").expect("it is there");
    assert!(hooks.device(left).is_none());
}

//! Random changes to BTF bytes that keep most of the structure.
#![allow(dead_code, reason = "each test binary uses some of them")]

use btf::write::NewMember;
use btf::{Btf, BtfBuilder, Encoding, Kind, Linkage, SecInfo, TypeId};

/// A small generator (xorshift): the tests need a seed to print, not quality.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() >> 11) as usize % limit.max(1)
    }
}

/// `RING3_SEED`, or one from the clock.
pub(crate) fn seed() -> u64 {
    let clock = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        now.map_or(1, |now| now.as_nanos() as u64)
    };
    std::env::var("RING3_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or_else(clock) | 1
}

/// `RING3_ROUNDS`, or the number given.
pub(crate) fn rounds(default: usize) -> usize {
    std::env::var("RING3_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A loadable object with several types of each kind.
pub(crate) fn all_kinds() -> Vec<u8> {
    let signed = Encoding { signed: true, ..Encoding::default() };
    let char = Encoding { char: true, ..Encoding::default() };
    let bool = Encoding { bool: true, ..Encoding::default() };
    let mut build = BtfBuilder::new();
    let int = build.int("int", 4, signed);
    let wide = build.int("__int128", 16, Encoding::default());
    build.int("char", 1, char);
    let truth = build.int("_Bool", 1, bool);
    let constant = build.qualifier(Kind::Const, int);
    let tag = build.type_tag("user", constant);
    let ptr = build.ptr(tag);
    let array = build.array(int, int, 3);
    let nested = build.array(array, int, 2);
    let double = build.float("double", 8);
    let colour = build.enumeration("colour", 4, true, &[("RED", -1), ("BLUE", 2)]);
    let big = build.enum64("big", false, &[("HUGE", i64::MIN)]);
    let fwd = build.fwd("later", true);
    let fwd_ptr = build.ptr(fwd);
    let void_ptr = build.ptr(TypeId::VOID);
    let member = |name, type_id, bit_offset, bitfield_size| NewMember {
        name,
        type_id,
        bit_offset,
        bitfield_size,
    };
    let union = build.union("u", 24, &[member("a", nested, 0, 0), member("p", ptr, 0, 0)]);
    let own = build.next_id();
    let own_ptr = TypeId(own.0 + 1);
    let flagged = build.structure(
        "flagged",
        72,
        &[
            member("a", int, 0, 5),
            member("b", colour, 5, 3),
            member("c", truth, 8, 0),
            member("next", own_ptr, 64, 0),
            member("u", union, 128, 0),
            member("d", double, 320, 0),
            member("w", wide, 384, 100),
            member("e", big, 512, 0),
        ],
    );
    build.ptr(own);
    let plain = build.structure(
        "",
        80,
        &[member("in", flagged, 0, 0), member("", int, 576, 0), member("v", colour, 608, 0)],
    );
    let typedef = build.typedef("plain_t", plain);
    let volatile = build.qualifier(Kind::Volatile, typedef);
    let restrict = build.qualifier(Kind::Restrict, fwd_ptr);
    let proto = build.func_proto(int, &[("x", ptr), ("y", restrict), ("", TypeId::VOID)]);
    let func = build.func("fn", proto, Linkage::Global);
    let callback = build.ptr(proto);
    build.func_proto(TypeId::VOID, &[("", callback), ("", void_ptr)]);
    let first = build.var("first", int, Linkage::Static);
    let second = build.var("second", volatile, Linkage::Global);
    build.datasec(
        ".data",
        88,
        &[
            SecInfo { type_id: first, offset: 0, size: 4 },
            SecInfo { type_id: second, offset: 8, size: 80 },
        ],
    );
    build.decl_tag("tag", func, 1);
    build.decl_tag("tag", flagged, 7);
    build.decl_tag("tag", first, -1);
    build.finish().expect("no mistakes")
}

/// An object's BTF as a loader completes it: data sections with sizes and offsets.
pub(crate) fn complete(bytes: &[u8]) -> Vec<u8> {
    let btf = Btf::parse(bytes).expect("clang's BTF");
    let mut edit = BtfBuilder::from_btf(&btf);
    for section in btf.types().filter(|ty| ty.kind == Kind::Datasec) {
        let mut end = 0;
        for (index, info) in section.datasec().enumerate() {
            edit.set_sec_info(section.id, index as u32, SecInfo { offset: end, ..info });
            end += info.size.next_multiple_of(8);
        }
        edit.set_size(section.id, end);
    }
    edit.finish().expect("no mistakes")
}

/// One to three changes: a word made interesting, a bit flipped, a type id moved, a cut.
pub(crate) fn mutate(bytes: &mut Vec<u8>, random: &mut Random) {
    let ids = Btf::parse(bytes).map_or(1, |btf| btf.type_count());
    for _ in 0..=random.below(3) {
        let words = bytes.len() / 4;
        let at = match random.below(16) {
            0 => random.below(words) * 4, // header and strings too
            _ => 24 + random.below(type_words(bytes)) * 4,
        };
        let Some(word) = bytes.get(at..at + 4).and_then(|word| word.try_into().ok()) else {
            continue;
        };
        let old = u32::from_le_bytes(word);
        let new = match random.below(8) {
            0 => old ^ 1 << random.below(32),
            1 => old.wrapping_add(1),
            2 => old.wrapping_sub(1),
            3 => [0, 1, 8, 32, 64, 128, 0xffff, 1 << 24, 1 << 31, u32::MAX][random.below(10)],
            4 => old & 0xe0ff_ffff | (random.below(21) as u32) << 24,
            _ => random.below(ids as usize + 2) as u32,
        };
        bytes[at..at + 4].copy_from_slice(&new.to_le_bytes());
    }
    if random.below(64) == 0 {
        bytes.truncate(random.below(bytes.len()));
    }
}

fn type_words(bytes: &[u8]) -> usize {
    let len = bytes.get(12..16).and_then(|word| word.try_into().ok()).map_or(0, u32::from_le_bytes);
    (len as usize).min(bytes.len().saturating_sub(24)) / 4
}

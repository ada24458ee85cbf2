//! Types that are merged, by hand; `crates/loader/tests/link.rs` asks libbpf.

use btf::{Btf, BtfBuilder, Kind, Linkage, NewMember, TypeId};

fn member(name: &str, type_id: TypeId, bit_offset: u32) -> NewMember<'_> {
    NewMember { name, type_id, bit_offset, bitfield_size: 0 }
}

fn int(b: &mut BtfBuilder) -> TypeId {
    b.int("int", 4, btf::Encoding { signed: true, ..<_>::default() })
}

/// `struct node { struct node *next; int value; }`, two copies of it all.
fn list(b: &mut BtfBuilder) -> TypeId {
    let value = int(b);
    let next = TypeId(b.next_id().0 + 1);
    let node = b.structure("node", 16, &[member("next", next, 0), member("value", value, 64)]);
    b.ptr(node);
    node
}

fn dump(b: BtfBuilder) -> Vec<String> {
    let btf: Btf = b.build().expect("builds");
    btf::raw::dump(&btf).lines().map(str::to_owned).collect()
}

#[test]
fn structs_that_refer_to_themselves_are_one() {
    let mut b = BtfBuilder::new();
    let (first, second) = (list(&mut b), list(&mut b));
    let var = b.var("list", second, Linkage::Global);
    let new = b.dedup().expect("dedups");
    assert_eq!(new[first.0 as usize], new[second.0 as usize]);
    assert_eq!(new[var.0 as usize], TypeId(4));
    assert_eq!(
        dump(b),
        [
            "[1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED",
            "[2] STRUCT 'node' size=16 vlen=2",
            "\t'next' type_id=3 bits_offset=0",
            "\t'value' type_id=1 bits_offset=64",
            "[3] PTR '(anon)' type_id=2",
            "[4] VAR 'list' type_id=2, linkage=global",
        ]
    );
}

#[test]
fn a_declaration_takes_the_only_definition_of_its_name() {
    for (definitions, stays) in [(1, false), (2, true)] {
        let mut b = BtfBuilder::new();
        let fwd = b.fwd("thing", false);
        let pointer = b.ptr(fwd);
        b.typedef("handle", pointer);
        let value = int(&mut b);
        let first = b.structure("thing", 4, &[member("a", value, 0)]);
        if definitions == 2 {
            b.structure("thing", 4, &[member("b", value, 0)]);
        }
        let new = b.dedup().expect("dedups");
        assert_eq!(new[fwd.0 as usize] != new[first.0 as usize], stays);
    }
}

#[test]
fn a_declaration_stands_for_one_definition_at_a_time() {
    // Twice `struct holder { struct x *one; struct x *two; }`: once both are declared, once they
    // are two definitions of one name, which no declaration can stand for.
    let mut b = BtfBuilder::new();
    let value = int(&mut b);
    let fwd = b.fwd("x", false);
    let declared = b.ptr(fwd);
    let members = [member("one", declared, 0), member("two", declared, 64)];
    let first = b.structure("holder", 16, &members);
    let one = b.structure("x", 4, &[member("a", value, 0)]);
    let two = b.structure("x", 4, &[member("b", value, 0)]);
    let (one, two) = (b.ptr(one), b.ptr(two));
    let second = b.structure("holder", 16, &[member("one", one, 0), member("two", two, 64)]);
    let new = b.dedup().expect("dedups");
    assert_ne!(new[first.0 as usize], new[second.0 as usize]);
}

#[test]
fn what_differs_in_depth_stays_apart() {
    let mut b = BtfBuilder::new();
    let signed = int(&mut b);
    let unsigned = b.int("unsigned int", 4, <_>::default());
    let (one, two) = (b.ptr(signed), b.ptr(unsigned));
    b.structure("s", 8, &[member("p", one, 0)]);
    b.structure("s", 8, &[member("p", two, 0)]);
    b.enumeration("e", 4, false, &[("A", 0)]);
    b.enumeration("e", 4, false, &[("A", 1)]);
    b.enumeration("e", 4, false, &[]);
    let before = b.next_id().0 - 1;
    let new = b.dedup().expect("dedups");
    // The declared enum is the first that is defined.
    let (last, first) = (new[before as usize], new[before as usize - 2]);
    assert_eq!(last, first);
    assert_eq!(b.next_id().0 - 1, before - 1);
}

#[test]
fn loops_of_typedefs_and_missing_types_are_errors() {
    let mut b = BtfBuilder::new();
    b.typedef("a", TypeId(2));
    b.qualifier(Kind::Const, TypeId(1));
    assert!(b.dedup().is_err());
    let mut b = BtfBuilder::new();
    b.ptr(TypeId(7));
    assert!(b.dedup().is_err());
}

/// Structs alike in all but what lies far down: bounded work, and a result that parses.
#[test]
fn hostile_graphs_end() {
    let mut b = BtfBuilder::new();
    let chains = 400;
    for chain in 0..chains {
        let name = format!("leaf{chain}");
        let mut last = b.structure(&name, 4, &[]);
        for _ in 0..200 {
            let next = b.ptr(last);
            last = b.structure("link", 8, &[member("next", next, 0)]);
        }
    }
    let new = b.dedup().expect("dedups");
    assert_eq!(new.len(), chains * 401 + 1);
    assert!(b.build().is_ok());
}

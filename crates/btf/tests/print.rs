//! Printed values, compared with recorded and live runs of bpftool.

mod common;

use btf::print::{Form, JsonText};
use btf::{Btf, Kind, TypeId, print};
use serde_json::Value;

/// The type of member `field` (a pointer) of the map variable `map`.
fn map_type(btf: &Btf, map: &str, field: &str) -> TypeId {
    let var = btf.ty(btf.find_by_name(map, Kind::Var).expect("the map")).expect("its type");
    let definition = btf.resolved(var.target().expect("a type")).expect("a struct");
    let member = definition.members().find(|member| member.name == field).expect("a field");
    btf.ty(member.type_id).expect("a pointer").target().expect("a pointee")
}

/// Bytes of a `["0x01",…]` array.
fn bytes(hex: &str) -> Vec<u8> {
    hex.split(',')
        .map(|byte| byte.trim_matches(['"', '[', ']', ' ', '\n']))
        .map(|byte| u8::from_str_radix(byte.trim_start_matches("0x"), 16).expect("hex"))
        .collect()
}

/// The `"key":[…]`, `"value":[…]` bytes and the `"formatted":` text of a one-element dump.
fn parts(dump: &str) -> (Vec<u8>, Vec<u8>, String) {
    let array = |name: &str| {
        let from = dump.find(name).expect("a field") + name.len();
        bytes(&dump[from..from + dump[from..].find(']').expect("a close")])
    };
    let formatted = dump.split_once("\"formatted\":").expect("a formatted part").1;
    let formatted = formatted.trim_end().strip_suffix("}]").expect("the end");
    (array("\"key\":"), array("\"value\":"), formatted.to_owned())
}

#[test]
fn prints_every_field_form_as_recorded() {
    let Some(dump) = common::case("map.dump.types.j", "cases-new.jsonl") else { return };
    let objects = common::objects();
    let object = objects.iter().find(|path| path.ends_with("maps_zoo.bpf.o")).expect("the object");
    let btf = Btf::parse(&common::section(object, ".BTF").expect("BTF")).expect("clang's BTF");
    let (key, value, formatted) = parts(&dump);
    let (key_type, value_type) = (map_type(&btf, "types", "key"), map_type(&btf, "types", "value"));
    let mut text = JsonText::new(Form::COMPACT);
    text.begin_object();
    text.name("key");
    print::write(&btf, key_type, &key, &mut text).expect("a key");
    text.name("value");
    print::write(&btf, value_type, &value, &mut text).expect("a value");
    text.end_object();
    // bpftool stops at the first float; we print it, and the double after it.
    let upto = |text: &str| text.split_once("\"f\":").expect("the float").0.to_owned();
    assert_eq!(upto(text.as_str()), upto(&formatted));
    for (file, form) in [("cases-7.1.jsonl", Form::PLAIN_OLD), ("cases-new.jsonl", Form::PLAIN)] {
        let Some(dump) = common::case("map.dump.types", file) else { return };
        let mut text = JsonText::new(form);
        text.begin_array();
        text.begin_object();
        text.name("key");
        print::write(&btf, key_type, &key, &mut text).expect("a key");
        text.name("value");
        print::write(&btf, value_type, &value, &mut text).expect("a value");
        text.end_object();
        text.end_array();
        assert_eq!(upto(text.as_str()), upto(&dump));
        assert!(text.as_str().ends_with("\n        }\n    }\n]"));
    }
    let json = print::value(&btf, value_type, &value).expect("a value");
    assert_eq!(json["bf1"], "0x5");
    assert_eq!(json["u"]["y"], serde_json::json!([113, 120, 127, 134]));
    // Offset 64: the float's bytes by hand from IEEE 754.
    let float = f32::from_le_bytes(value[64..68].try_into().expect("four bytes"));
    assert_eq!(json["f"].as_f64().expect("a number") as f32, float);
}

#[test]
fn prints_data_sections_as_recorded() {
    let objects = common::objects();
    let Some(object) = objects.iter().find(|path| path.ends_with("hello_map.bpf.o")) else {
        return;
    };
    let Some(dump) = common::case("map.dump.hm/hello_ma_rodata.j", "cases-7.1.jsonl") else {
        return;
    };
    let btf = Btf::parse(&common::section(object, ".BTF").expect("BTF")).expect("clang's BTF");
    let (_, value, formatted) = parts(&dump);
    let id = btf.find_by_name(".rodata", Kind::Datasec).expect("a data section");
    // The object's own offsets are still zero (the loader sets them), so fix them by symbol.
    let mut bytes = btf.bytes().to_vec();
    let offsets = [("limit", 0_u32), ("label", 4)];
    let datasec = btf.ty(id).expect("found");
    for info in datasec.datasec() {
        let name = btf.name_of(info.type_id);
        let offset = offsets.iter().find(|(known, _)| *known == name).expect("known").1;
        let words = [info.type_id.0, info.offset, info.size].map(u32::to_le_bytes).concat();
        let at = bytes.windows(12).position(|window| window == words).expect("its record");
        bytes[at + 4..at + 8].copy_from_slice(&offset.to_le_bytes());
    }
    let btf = Btf::parse(&bytes).expect("still BTF");
    let json = print::value(&btf, id, &value).expect("a value");
    let recorded: Value = serde_json::from_str(&formatted).expect("JSON");
    assert_eq!(json, recorded["value"]);
}

#[test]
fn prints_characters_bits_and_wide_integers_by_hand() {
    // [1] char (CHAR), [2] __int128, [3] struct { char; __int128:100 at bit 12 } with kind flag.
    let words = [
        1,
        1 << 24,
        1,
        2 << 24 | 8, // int "c", CHAR
        1,
        1 << 24,
        16,
        128, // int "c", 16 bytes
        0,
        1 << 31 | 4 << 24 | 2,
        32,
        1,
        1,
        0,
        3,
        2,
        100 << 24 | 12,
    ];
    let btf = Btf::parse(&common::assemble(&words, b"\0c\0w\0")).expect("walkable");
    let text = |id, bytes: &[u8], form| {
        let mut text = JsonText::new(form);
        print::write(&btf, TypeId(id), bytes, &mut text).expect("a value");
        text.into_string()
    };
    assert_eq!(text(1, b"x", Form::COMPACT), "\"x\"");
    assert_eq!(text(1, &[7], Form::COMPACT), "\"\\u0007\"");
    assert_eq!(text(1, &[0xff], Form::PLAIN), "0xff");
    let mut wide = [0; 16];
    wide[0] = 5;
    assert_eq!(text(2, &wide, Form::COMPACT), "\"0x5\"");
    wide[15] = 0x80;
    assert_eq!(text(2, &wide, Form::PLAIN), "0x80000000000000000000000000000005");
    let mut record = [0; 32];
    record[0] = b'"';
    record[1] = 0xf0; // bits 12..16 set: the low four bits of the field
    record[14] = 0xff; // bit 112 and on lie beyond the field
    assert_eq!(text(3, &record, Form::COMPACT), r#"{"c":"\"","w":"0xf"}"#);
    assert!(print::value(&btf, TypeId(3), &record[..8]).is_err());
}

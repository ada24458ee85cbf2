//! Hostile objects: the loader, the linker and the BTF parser answer with an error or a result,
//! nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(mut spec) = loader::Object::parse(data) {
        let own = spec.btf.clone();
        let _ = own.map(|btf| spec.relocate_core(&[&*btf]));
    }
    let _ = loader::link(&[("one", data)]);
    let _ = loader::link(&[("one", data), ("two", data)]);
    if let Ok(btf) = btf::Btf::parse(data) {
        for id in 1..=btf.type_count().min(1000) {
            let id = btf::TypeId(id);
            let _ = (btf.resolve(id), btf.size_of(id));
        }
        let _ = btf.verify();
        let _ = btf::BtfBuilder::from_btf(&btf).dedup();
    }
});

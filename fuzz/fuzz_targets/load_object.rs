//! Hostile objects: the loader and the BTF parser answer with an error or a spec, nothing else.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let _ = loader::Object::parse(data);
    if let Ok(btf) = btf::Btf::parse(data) {
        for id in 1..=btf.type_count().min(1000) {
            let id = btf::TypeId(id);
            let _ = (btf.resolve(id), btf.size_of(id));
        }
        let _ = btf.verify();
    }
});

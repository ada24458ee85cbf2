//! Opens an object, runs it on bytes, reads a map: `cargo run --example embed -- FILE`.

use ring3::{Error, Machine, Object};

fn main() -> Result<(), Error> {
    let file = std::env::args().nth(1).unwrap_or_else(|| "examples/hello.bpf.c".into());
    let object = Object::open(file)?;
    let machine = Machine::new();
    let loaded = machine.load(&object)?;
    let ran = loaded.program(&object.only_program()?.name)?.run(&[0; 64])?;
    print!("returned {}\n{}", ran.retval, machine.take_trace());
    for map in loaded.maps() {
        println!("{}: {}", map.name(), map.to_json()?);
    }
    Ok(())
}

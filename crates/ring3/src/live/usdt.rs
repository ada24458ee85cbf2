//! Probes of a program's makers: `usdt.bpf.h` finds their arguments in a map.

use hooks::process::{Form, HookError, Place, Point, Site};

use crate::Loaded;

/// What the map holds by now.
#[derive(Default)]
pub(super) struct Specs(Vec<Vec<u8>>);

/// The map of `usdt.bpf.h`.
const SPECS: &str = "__bpf_usdt_specs";

impl Specs {
    /// The number of a description, which is put into the map if it is new.
    fn number(&mut self, loaded: &Loaded, spec: Vec<u8>) -> Result<u64, String> {
        if let Some(at) = self.0.iter().position(|known| *known == spec) {
            return Ok(at as u64);
        }
        let number = self.0.len() as u32;
        if let Some(map) = loaded.maps().find(|map| map.name() == SPECS) {
            let size = map.def().map_or(0, |def| def.value_size as usize);
            let mut value = spec.clone();
            value.resize(size, 0);
            map.set(&number.to_ne_bytes(), &value)
                .map_err(|error| format!("too many probes for map {SPECS}: {error}"))?;
        }
        self.0.push(spec);
        Ok(number.into())
    }
}

/// The place of a probe's program with all its sites, each with the number of its arguments'
/// description as cookie; the program's own cookie is in that. Other places stay as they are.
pub(super) fn with_specs(
    loaded: &Loaded,
    program: &str,
    place: Place,
    cookie: u64,
    specs: &mut Specs,
) -> Result<Place, HookError> {
    let Point::Usdt(probe) = &place.point else { return Ok(place) };
    let wrong = |why| HookError::NoPlace { program: program.to_owned(), why };
    let mut sites = Vec::new();
    for found in probe.probes().map_err(wrong)? {
        let number = specs.number(loaded, found.spec(cookie).to_vec()).map_err(wrong)?;
        sites.push(Site { cookie: number, ..found.site });
    }
    Ok(Place { point: Point::Sites(probe.file.clone(), sites), form: Form::Regs })
}

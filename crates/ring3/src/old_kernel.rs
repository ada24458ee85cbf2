//! BTF behind a door that does not know all of its kinds: a Linux older than the object.

use btf::Btf;
use loader::BtfFeatures;
use runtime::door::{Bpf, BtfLoad, Fd, LoadError, LogRequest};
use uapi::Errno;

/// Loads BTF as it is or, if the door refuses it, with what the door lacks written over; says what
/// it has.
pub(crate) fn load_btf(door: &dyn Bpf, btf: &Btf) -> Result<(Fd, BtfFeatures), LoadError> {
    let load = |bytes: &[u8]| {
        let request = BtfLoad { data: bytes.to_vec(), log: LogRequest::default() };
        door.btf_load(&request).map(|loaded| loaded.fd)
    };
    // A trial object is no longer needed; that it is gone already is no loss.
    negotiate(btf, load, |fd| _ = door.close(fd))
}

fn negotiate(
    btf: &Btf,
    load: impl Fn(&[u8]) -> Result<Fd, LoadError>,
    close: impl Fn(Fd),
) -> Result<(Fd, BtfFeatures), LoadError> {
    let refused = match load(btf.bytes()) {
        Ok(fd) => return Ok((fd, BtfFeatures::ALL)),
        Err(error) if error.errno == Errno::EPERM => return Err(error),
        Err(error) => error,
    };
    let features = BtfFeatures::probe(|bytes| load(bytes).map(&close).is_ok());
    let Ok(bytes) = loader::sanitised(btf, &features) else { return Err(refused) };
    if features == BtfFeatures::ALL {
        return Err(refused);
    }
    load(&bytes).map(|fd| (fd, features))
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use btf::{BtfBuilder, Kind};

    use super::*;

    fn refusal(errno: Errno) -> LoadError {
        LoadError { errno, log: String::new(), log_true_size: 0, rejection: None }
    }

    fn floats() -> Btf {
        let mut builder = BtfBuilder::new();
        builder.float("double", 8);
        builder.build().expect("well-formed")
    }

    /// A kernel before 5.13; counts what is open.
    fn without_float(open: &Cell<i32>, bytes: &[u8]) -> Result<Fd, LoadError> {
        let types = Btf::parse(bytes).expect("well-formed");
        if types.types().any(|ty| ty.kind == Kind::Float) {
            return Err(refusal(Errno::EINVAL));
        }
        open.set(open.get() + 1);
        Ok(Fd(open.get()))
    }

    #[test]
    fn floats_become_structs_where_the_door_has_none() {
        let open = Cell::new(0);
        let close = |_| open.set(open.get() - 1);
        let (fd, features) =
            negotiate(&floats(), |bytes| without_float(&open, bytes), close).expect("loads");
        assert_eq!((fd, open.get()), (Fd(1), 1), "trials are closed");
        assert_eq!(features, BtfFeatures { float: false, ..BtfFeatures::ALL });
    }

    #[test]
    fn what_a_door_with_all_features_refuses_stays_refused() {
        let calls = Cell::new(0);
        let load = |_: &[u8]| {
            calls.set(calls.get() + 1);
            if calls.get() == 1 { Err(refusal(Errno::EINVAL)) } else { Ok(Fd(3)) }
        };
        let error = negotiate(&floats(), load, |_| ()).expect_err("refused");
        assert_eq!(error.errno, Errno::EINVAL);
        let denied = negotiate(&floats(), |_| Err(refusal(Errno::EPERM)), |_| ());
        assert_eq!(denied.expect_err("refused").errno, Errno::EPERM);
    }
}

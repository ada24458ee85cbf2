//! Values as bytes: numbers little-endian, lengths before contents, fields in order.
//!
//! Nothing is allocated before the bytes for it are there, so a hostile count costs nothing.

mod door;

use std::sync::Arc;
use std::time::Duration;

/// The bytes are not a value of the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bad;

/// Reads values one after the other.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    pub(crate) fn take<T: Wire<'a>>(&mut self) -> Result<T, Bad> {
        T::take(self)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Bad> {
        let (bytes, rest) = self.rest.split_at_checked(len).ok_or(Bad)?;
        self.rest = rest;
        Ok(bytes)
    }

    /// Bad unless all was read.
    pub(crate) fn end(&self) -> Result<(), Bad> {
        if self.rest.is_empty() { Ok(()) } else { Err(Bad) }
    }
}

/// A value that goes over the socket; slices are read in place.
pub(crate) trait Wire<'a>: Sized {
    /// Bytes it takes at least.
    const MIN: usize = 1;
    fn put(&self, out: &mut Vec<u8>);
    fn take(from: &mut Reader<'a>) -> Result<Self, Bad>;

    fn put_all(items: &[Self], out: &mut Vec<u8>) {
        items.iter().for_each(|item| item.put(out));
    }
    fn take_all(from: &mut Reader<'a>, count: usize) -> Result<Vec<Self>, Bad> {
        // Items may be larger here than there: room for a few only, the rest as they come.
        let mut items = Vec::with_capacity(count.min(4096));
        for _ in 0..count {
            items.push(from.take()?);
        }
        Ok(items)
    }
}

/// Fields in order.
macro_rules! wire_struct {
    ($($name:ident { $($field:ident),* $(,)? })*) => {$(
        impl<'a> Wire<'a> for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let $name { $($field),* } = self;
                $($field.put(out);)*
            }
            fn take(from: &mut Reader<'a>) -> Result<Self, Bad> {
                Ok($name { $($field: from.take()?),* })
            }
        }
    )*};
}
pub(crate) use wire_struct;

macro_rules! wire_number {
    ($($ty:ty)*) => {$(
        impl Wire<'_> for $ty {
            const MIN: usize = size_of::<$ty>();
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
            fn take(from: &mut Reader<'_>) -> Result<$ty, Bad> {
                let bytes = from.bytes(size_of::<$ty>())?;
                bytes.first_chunk().map(|b| <$ty>::from_le_bytes(*b)).ok_or(Bad)
            }
        }
    )*};
}

wire_number!(u32 u64 i32);

impl Wire<'_> for u8 {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }
    fn take(from: &mut Reader<'_>) -> Result<u8, Bad> {
        from.bytes(1)?.first().copied().ok_or(Bad)
    }
    fn put_all(items: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(items);
    }
    fn take_all(from: &mut Reader<'_>, count: usize) -> Result<Vec<u8>, Bad> {
        from.bytes(count).map(<[u8]>::to_vec)
    }
}

impl Wire<'_> for () {
    const MIN: usize = 0;
    fn put(&self, _: &mut Vec<u8>) {}
    fn take(_: &mut Reader<'_>) -> Result<(), Bad> {
        Ok(())
    }
}

impl Wire<'_> for bool {
    fn put(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }
    fn take(from: &mut Reader<'_>) -> Result<bool, Bad> {
        match from.take::<u8>()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Bad),
        }
    }
}

impl<'a> Wire<'a> for &'a [u8] {
    const MIN: usize = 4;
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        out.extend_from_slice(self);
    }
    fn take(from: &mut Reader<'a>) -> Result<&'a [u8], Bad> {
        let len = from.take::<u32>()?;
        from.bytes(len as usize)
    }
}

impl<'a> Wire<'a> for &'a str {
    const MIN: usize = 4;
    fn put(&self, out: &mut Vec<u8>) {
        self.as_bytes().put(out);
    }
    fn take(from: &mut Reader<'a>) -> Result<&'a str, Bad> {
        std::str::from_utf8(from.take()?).map_err(|_| Bad)
    }
}

impl Wire<'_> for String {
    const MIN: usize = 4;
    fn put(&self, out: &mut Vec<u8>) {
        self.as_str().put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<String, Bad> {
        from.take::<&str>().map(str::to_owned)
    }
}

impl Wire<'_> for Arc<[u8]> {
    const MIN: usize = 4;
    fn put(&self, out: &mut Vec<u8>) {
        (&**self).put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Arc<[u8]>, Bad> {
        from.take::<&[u8]>().map(Arc::from)
    }
}

impl Wire<'_> for [u8; 8] {
    const MIN: usize = 8;
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self);
    }
    fn take(from: &mut Reader<'_>) -> Result<[u8; 8], Bad> {
        from.bytes(8)?.first_chunk().copied().ok_or(Bad)
    }
}

impl<'a, T: Wire<'a>> Wire<'a> for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }
    fn take(from: &mut Reader<'a>) -> Result<Option<T>, Bad> {
        if from.take()? { from.take().map(Some) } else { Ok(None) }
    }
}

impl<'a, T: Wire<'a>> Wire<'a> for Vec<T> {
    const MIN: usize = 4;
    fn put(&self, out: &mut Vec<u8>) {
        (self.len() as u32).put(out);
        T::put_all(self, out);
    }
    fn take(from: &mut Reader<'a>) -> Result<Vec<T>, Bad> {
        let count = from.take::<u32>()? as usize;
        if count > from.rest.len() / T::MIN.max(1) {
            return Err(Bad);
        }
        T::take_all(from, count)
    }
}

impl<'a, A: Wire<'a>, B: Wire<'a>> Wire<'a> for (A, B) {
    const MIN: usize = A::MIN + B::MIN;
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn take(from: &mut Reader<'a>) -> Result<(A, B), Bad> {
        Ok((from.take()?, from.take()?))
    }
}

impl<'a, A: Wire<'a>, B: Wire<'a>, C: Wire<'a>> Wire<'a> for (A, B, C) {
    const MIN: usize = A::MIN + B::MIN + C::MIN;
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
        self.2.put(out);
    }
    fn take(from: &mut Reader<'a>) -> Result<(A, B, C), Bad> {
        Ok((from.take()?, from.take()?, from.take()?))
    }
}

impl<'a, T: Wire<'a>, E: Wire<'a>> Wire<'a> for Result<T, E> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_ok().put(out);
        match self {
            Ok(value) => value.put(out),
            Err(error) => error.put(out),
        }
    }
    fn take(from: &mut Reader<'a>) -> Result<Result<T, E>, Bad> {
        if from.take()? { from.take().map(Ok) } else { from.take().map(Err) }
    }
}

impl Wire<'_> for Duration {
    const MIN: usize = 12;
    fn put(&self, out: &mut Vec<u8>) {
        self.as_secs().put(out);
        self.subsec_nanos().put(out);
    }
    fn take(from: &mut Reader<'_>) -> Result<Duration, Bad> {
        let (secs, nanos) = from.take::<(u64, u32)>()?;
        if nanos < 1_000_000_000 { Ok(Duration::new(secs, nanos)) } else { Err(Bad) }
    }
}

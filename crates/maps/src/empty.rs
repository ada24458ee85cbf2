//! Maps of what this process has none of: sockets, cgroups, kernel stacks. They can be made and
//! asked, and answer as on Linux where nothing has been put in.

use uapi::{Errno, MapDef, MapType};

use crate::index::{index, next_index};
use crate::ops::{EXIST, Ops};
use crate::raw::View;

/// A map without elements.
pub(crate) struct Empty(MapDef);

impl Empty {
    pub(crate) fn new(def: &MapDef) -> Empty {
        Empty(def.clone())
    }

    fn past_end(&self, index: u32) -> bool {
        index >= self.0.max_entries
    }
}

impl Ops for Empty {
    fn delete(&self, key: View<'_>) -> Result<(), Errno> {
        use MapType as T;
        let past = self.past_end(key.u32(0));
        Err(match self.0.map_type {
            T::StackTrace | T::ReuseportSockarray if past => Errno::E2BIG,
            T::StackTrace | T::ReuseportSockarray | T::Sockhash => Errno::ENOENT,
            T::Xskmap if !past => return Ok(()),
            T::Xskmap | T::Sockmap | T::CgroupStorage | T::PercpuCgroupStorage => Errno::EINVAL,
            T::Arena => Errno::EOPNOTSUPP,
            T::UserRingbuf => Errno::ENOTSUPP,
            _ => Errno::EBADF,
        })
    }

    fn user_lookup(&self, _: &[u8], _: &mut [u8]) -> Result<(), Errno> {
        use MapType as T;
        Err(match self.0.map_type {
            T::StackTrace | T::CgroupStorage | T::PercpuCgroupStorage => Errno::ENOENT,
            T::Sockmap | T::Sockhash | T::ReuseportSockarray if self.0.value_size == 4 => {
                Errno::ENOSPC
            }
            T::Sockmap | T::Sockhash | T::ReuseportSockarray => Errno::ENOENT,
            T::Xskmap => Errno::EOPNOTSUPP,
            T::UserRingbuf => Errno::ENOTSUPP,
            T::Arena => Errno::EINVAL,
            _ => Errno::EBADF,
        })
    }

    fn user_update(&self, key: &[u8], _: &[u8], flags: u64) -> Result<(), Errno> {
        use MapType as T;
        let high = flags > EXIST;
        Err(match self.0.map_type {
            T::StackTrace => Errno::EINVAL,
            T::Sockmap | T::Sockhash | T::Arena => Errno::EOPNOTSUPP,
            T::Xskmap | T::ReuseportSockarray if high => Errno::EINVAL,
            T::Xskmap | T::ReuseportSockarray if self.past_end(index(key)) => Errno::E2BIG,
            T::Xskmap => Errno::EOPNOTSUPP,
            T::ReuseportSockarray if flags == EXIST => Errno::ENOENT,
            T::ReuseportSockarray => Errno::EINVAL,
            T::CgroupStorage | T::PercpuCgroupStorage if flags & !EXIST != 0 => Errno::EINVAL,
            T::CgroupStorage | T::PercpuCgroupStorage => Errno::ENOENT,
            T::UserRingbuf => Errno::ENOTSUPP,
            _ => Errno::EBADF,
        })
    }

    fn next_key(&self, key: Option<&[u8]>, next: &mut [u8]) -> Result<(), Errno> {
        use MapType as T;
        Err(match self.0.map_type {
            T::Sockmap | T::Xskmap | T::ReuseportSockarray => {
                return next_index(key, self.0.max_entries, next);
            }
            T::StackTrace | T::Sockhash | T::CgroupStorage | T::PercpuCgroupStorage => {
                Errno::ENOENT
            }
            T::Arena => Errno::EOPNOTSUPP,
            _ => Errno::ENOTSUPP,
        })
    }

    fn take(&self, _: &[u8], _: &mut [u8]) -> Result<(), Errno> {
        Err(match self.0.map_type {
            MapType::StackTrace => Errno::ENOENT,
            _ => Errno::ENOTSUPP,
        })
    }
}

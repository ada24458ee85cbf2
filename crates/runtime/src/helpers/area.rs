//! The memory area around an address of a task.

use interp::Trap;
use uapi::Errno;

use super::Call;
use super::kfunc::{grant, task};
use crate::kernel_objects as objects;

/// `bpf_find_vma`: the callback sees task, area and context.
pub(super) fn find(
    c: &mut Call<'_, '_>,
    [task, addr, func, ctx, flags]: [u64; 5],
) -> Result<u64, Trap> {
    if flags != 0 {
        return Ok(Errno::EINVAL.as_ret());
    }
    c.run.pin();
    let areas = task::number(c, task).map(objects::areas).unwrap_or_default();
    let found = areas.iter().find(|area| (area.start..area.end).contains(&addr));
    let Some(area) = found else { return Ok(Errno::ENOENT.as_ret()) };
    let object = c.run.core.area_object(area);
    if object == 0 {
        return Ok(Errno::ENOENT.as_ret());
    }
    grant(c, object);
    let ran = c.vm.call_back(c.run, func, [task, object, ctx, 0, 0]);
    c.run.core.heap.release(object);
    ran.map(|_| 0)
}

//! [`Adaptation::StatBeforeRmdir`](super::Adaptation::StatBeforeRmdir).

use wasm_encoder::Function;

use super::words::{FILESTAT, function, when};
use super::{Helper, Parts};

/// ```c
/// errno_t path_remove_directory(fd_t fd, char *path, uint32_t length) {
///     char *stat = scratch(64);
///     if (stat) path_filestat_get(fd, 0, path, length, stat);
///     return inner(fd, path, length);
/// }
/// ```
pub(super) fn remove_directory(parts: &Parts) -> Function {
    let (fd, path, length, stat) = (0, 1, 2, 3);
    function(1, 0, |c| {
        c.i32_const(FILESTAT).call(parts.helper(Helper::Scratch));
        c.local_tee(stat);
        when(c, |c| {
            c.local_get(fd).i32_const(0).local_get(path);
            c.local_get(length).local_get(stat);
            c.call(parts.import("path_filestat_get")).drop();
        });
        c.local_get(fd).local_get(path).local_get(length);
        c.call(parts.inner);
    })
}

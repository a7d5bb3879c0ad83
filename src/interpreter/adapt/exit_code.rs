//! [`Adaptation::ExitCode`](super::Adaptation::ExitCode).

use wasm_encoder::{BlockType, Function};

use super::words::{at, first_bytes, function, when};
use super::{EXIT_CODE_FILE, EXIT_CODE_MOUNT, Parts};

/// The largest exit code that every runtime passes on.
const LARGEST_COMMON_CODE: i32 = 125;

/// ```c
/// void proc_exit(uint32_t code) {
///     if (code > 125) {
///         for (fd_t fd = 3; fd_prestat_get(fd, &prestat) == 0; fd++) {
///             if (prestat.tag != DIR || prestat.name_length != 8) continue;
///             if (fd_prestat_dir_name(fd, name, 8) != 0) continue;
///             if (memcmp(name, "/.pyw/rc", 8) != 0) continue;
///             memcpy(path, "code", 4);
///             if (path_open(fd, 0, path, 4, CREAT | TRUNC, FD_WRITE, 0, 0, &file) != 0) break;
///             value = code;
///             iov = {&value, 4};
///             if (fd_write(file, &iov, 1, &written) != 0) break;
///             code = 1;
///             break;
///         }
///     }
///     inner(code);
/// }
/// ```
///
/// Nothing of the guest runs after this, so its first page serves for the variables: a program
/// that ends because memory is used up has no other.
pub(super) fn exit_code(parts: &Parts) -> Function {
    let (code, fd) = (0, 1);
    // Not at 0, which a runtime might take for a null pointer.
    let (prestat, name, path, file) = (64, 72, 80, 88);
    let (iov, value, written) = (96, 104, 108);
    let (next, found) = (0, 1);
    const {
        assert!(EXIT_CODE_MOUNT.len() == 8 && EXIT_CODE_FILE.len() == 4);
    }
    let mount = i64::from_le_bytes(first_bytes(EXIT_CODE_MOUNT));
    let file_name = i32::from_le_bytes(first_bytes(EXIT_CODE_FILE));
    function(1, 0, |c| {
        c.local_get(code).i32_const(LARGEST_COMMON_CODE).i32_gt_u();
        when(c, |c| {
            c.i32_const(2).local_set(fd);
            // `found` leaves the search, `next` goes on with it.
            c.block(BlockType::Empty).loop_(BlockType::Empty);
            c.local_get(fd).i32_const(1).i32_add().local_tee(fd);
            c.i32_const(prestat).call(parts.import("fd_prestat_get"));
            c.br_if(found);
            // A tag of 0 is a directory, the only kind there is.
            c.i32_const(prestat).i32_load8_u(at(0)).br_if(next);
            c.i32_const(prestat).i32_load(at(4)).i32_const(8).i32_ne();
            c.br_if(next);
            c.local_get(fd).i32_const(name).i32_const(8);
            c.call(parts.import("fd_prestat_dir_name")).br_if(next);
            c.i32_const(name).i64_load(at(0)).i64_const(mount).i64_ne();
            c.br_if(next);

            c.i32_const(path).i32_const(file_name).i32_store(at(0));
            c.local_get(fd).i32_const(0).i32_const(path).i32_const(4);
            // oflags CREAT | TRUNC; rights FD_WRITE, none inherited; fdflags none.
            c.i32_const(1 | 8).i64_const(1 << 6).i64_const(0);
            c.i32_const(0).i32_const(file);
            c.call(parts.import("path_open")).br_if(found);

            c.i32_const(value).local_get(code).i32_store(at(0));
            c.i32_const(iov).i32_const(value).i32_store(at(0));
            c.i32_const(iov).i32_const(4).i32_store(at(4));
            c.i32_const(file).i32_load(at(0));
            c.i32_const(iov).i32_const(1).i32_const(written);
            c.call(parts.import("fd_write")).br_if(found);
            c.i32_const(1).local_set(code);
            c.end().end();
        });
        c.local_get(code).call(parts.inner);
    })
}

#!/usr/bin/env bash
# Builds CPython for WASI preview 1 from source, with zlib, bz2, lzma and sqlite3 linked in, and
# packs it into a pybi. Run it without arguments for help; README.md tells why it is done so.

set -euo pipefail
export LC_ALL=C TZ=UTC
umask 022

usage() {
    cat >&2 <<'END'
usage: build.sh VERSION [-o DIR] [-w DIR] [-j N]

  VERSION   of CPython, one that sources.sha256 lists
  -o DIR    where the pybi goes (default: .)
  -w DIR    where sources, tools and objects are kept (default: ./cpython-VERSION-build)
  -j N      processes at once (default: as many as there are processors)

Needed: a Debian system (bookworm or later) with apt-get, a C compiler, make, tclsh, and `pyw` on
PATH or in $PYW. Nothing is installed; nothing needs root.
END
    exit 2
}

here=$(cd "$(dirname "$0")" && pwd)
version=${1:-}
[[ $version =~ ^3\.[0-9]+\.[0-9]+$ ]] || usage
shift
output=$PWD
work=$PWD/cpython-$version-build
jobs=$(nproc)
while getopts o:w:j: option; do
    case $option in
    o) output=$(realpath -m "$OPTARG") ;;
    w) work=$(realpath -m "$OPTARG") ;;
    j) jobs=$OPTARG ;;
    *) usage ;;
    esac
done
minor=${version%.*}
pyw=${PYW:-pyw}
mkdir -p "$output" "$work"

say() { echo "== $*" >&2; }

# --- Sources and tools: Debian's, by an apt of our own that leaves the system's alone. ---

apt_dir=$work/apt
mkdir -p "$apt_dir"/{etc,lists/partial,cache/archives/partial} "$work"/{sources,debs}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
# Source packages stay in the pool while any release has them, so several are asked; the compiler
# has to be the host release's, whose libraries it needs.
cat >"$apt_dir/etc/debian.sources" <<END
Types: deb-src
URIs: $mirror
Suites: trixie forky
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: $mirror
Suites: $release trixie
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
END
export APT_CONFIG=$apt_dir/apt.conf
cat >"$APT_CONFIG" <<END
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$apt_dir/etc";
Dir::State::Lists "$apt_dir/lists";
Dir::Cache "$apt_dir/cache";
Acquire::Languages "none";
APT::Sandbox::User "";
END

lists_updated=
update_lists() {
    [[ $lists_updated ]] || apt-get -qq update >&2
    lists_updated=1
}

# fetch_source PACKAGE FILE: the file that sources.sha256 pins.
fetch_source() {
    local package=$1 file=$2
    if ! (cd "$work/sources" && grep " $file\$" "$here/sources.sha256" | sha256sum --quiet -c - >/dev/null 2>&1); then
        update_lists
        say "fetching $file"
        local upstream=${file#*_}
        upstream=${upstream%.orig.tar.*}
        local found
        found=$(apt-cache showsrc "$package" | sed -n 's/^Version: //p' | while read -r candidate; do
            local bare=${candidate#*:}
            [[ ${bare%-*} != "$upstream" ]] || echo "$candidate"
        done)
        found=${found%%$'\n'*}
        [[ $found ]] || { say "Debian has no $package $upstream"; exit 1; }
        (cd "$work/sources" && apt-get -qq source --download-only "$package=$found" >&2)
        (cd "$work/sources" && grep " $file\$" "$here/sources.sha256" | sha256sum --quiet -c - >&2)
    fi
}

fetch_tools() {
    [[ -e $work/tools/.done ]] && return
    update_lists
    say "fetching clang, lld and wasi-libc"
    rm -rf "$work/tools"
    mkdir -p "$work/tools"
    (
        cd "$work/debs"
        apt-get -qq download -t "$release" clang-19 lld-19 llvm-19 libllvm19 libclang-cpp19 \
            libclang-common-19-dev libclang-rt-19-dev-wasm32 >&2
        apt-get -qq download -t trixie wasi-libc >&2
        for deb in *.deb; do dpkg -x "$deb" "$work/tools"; done
    )
    touch "$work/tools/.done"
}

cpython_source=python${minor}_$version.orig.tar.xz
grep -q " $cpython_source\$" "$here/sources.sha256" || {
    say "sources.sha256 does not list CPython $version"
    exit 2
}
fetch_source "python$minor" "$cpython_source"
fetch_source zlib 'zlib_1.3.dfsg+really1.3.1.orig.tar.gz'
fetch_source bzip2 bzip2_1.0.8.orig.tar.gz
fetch_source xz-utils xz-utils_5.8.1.orig.tar.xz
fetch_source sqlite3 sqlite3_3.46.1.orig.tar.xz
fetch_tools

# --- The compiler. ---

tools=$work/tools/usr
# Debian's clang looks for `wasm-ld-19` on PATH.
export PATH=$tools/bin:$PATH
export LD_LIBRARY_PATH=$tools/lib/llvm-19/lib:$tools/lib/x86_64-linux-gnu:$tools/lib/$(uname -m)-linux-gnu
# `make install` and `__DATE__` see the age of the source, not the day of the build.
SOURCE_DATE_EPOCH=$(tar -tvf "$work/sources/$cpython_source" --full-time --utc |
    awk '{print $4" "$5}' | sort | tail -1 | xargs -0 -I{} date -u -d '{}' +%s)
export SOURCE_DATE_EPOCH
sysroot=$work/sysroot
build=$work/build
mkdir -p "$build" "$sysroot"
clang=$tools/lib/llvm-19/bin/clang
# Not wasm32-wasip1: Debian's compiler runtime is found for wasm32-wasi only. Both are preview 1.
target="--target=wasm32-wasi --sysroot=$sysroot"
optimise=-O3
features="-mbulk-memory -mnontrapping-fptoint -msign-ext -mmutable-globals"
maps="-ffile-prefix-map=$work=/build"
export CC="$clang $target" AR="$tools/lib/llvm-19/bin/llvm-ar" RANLIB="$tools/lib/llvm-19/bin/llvm-ranlib"
export LLVM_AR=$AR ZERO_AR_DATE=1

if [[ ! -e $sysroot/.done ]]; then
    mkdir -p "$sysroot/include" "$sysroot/lib"
    cp -a "$tools/include/wasm32-wasi" "$sysroot/include/"
    cp -a "$tools/lib/wasm32-wasi" "$sysroot/lib/"
    touch "$sysroot/.done"
fi

unpack() {
    rm -rf "${build:?}/$2"
    mkdir -p "$build/$2"
    tar -xf "$work/sources/$1" -C "$build/$2" --strip-components 1
}

# library NAME CFLAGS FILE...: compiles the files in the current folder into libNAME.a.
library() {
    local name=$1 cflags=$2 file
    shift 2
    rm -f "lib$name.a" ./*.o
    printf '%s\n' "$@" | xargs -P "$jobs" -I{} sh -c "$CC $optimise $features $maps $cflags -c {} -o \$(basename {} .c).o"
    local objects=()
    for file in "$@"; do objects+=("$(basename "$file" .c).o"); done
    "$AR" rcsD "$sysroot/lib/wasm32-wasi/lib$name.a" "${objects[@]}"
}

if [[ ! -e $build/.libraries ]]; then
    say "zlib"
    unpack 'zlib_1.3.dfsg+really1.3.1.orig.tar.gz' zlib
    (cd "$build/zlib" && library z "-DHAVE_UNISTD_H -DNO_snprintf=0" adler32.c compress.c crc32.c deflate.c \
        gzclose.c gzlib.c gzread.c gzwrite.c infback.c inffast.c inflate.c inftrees.c trees.c uncompr.c zutil.c)
    cp "$build/zlib"/{zlib,zconf}.h "$sysroot/include/wasm32-wasi/"
    say "bzip2"
    unpack bzip2_1.0.8.orig.tar.gz bzip2
    (cd "$build/bzip2" && library bz2 "" blocksort.c huffman.c crctable.c randtable.c compress.c decompress.c bzlib.c)
    cp "$build/bzip2/bzlib.h" "$sysroot/include/wasm32-wasi/"
    say "xz"
    unpack xz-utils_5.8.1.orig.tar.xz xz
    (
        cd "$build/xz"
        ./configure --quiet --host=wasm32-wasi --prefix="$sysroot" --disable-shared --disable-nls \
            --disable-xz --disable-xzdec --disable-lzmadec --disable-lzmainfo --disable-scripts --disable-doc \
            --enable-threads=no --enable-small=no CFLAGS="$optimise $features $maps" >"$build/xz.log" 2>&1
        make -j"$jobs" -C src/liblzma >>"$build/xz.log" 2>&1
        cp src/liblzma/.libs/liblzma.a "$sysroot/lib/wasm32-wasi/"
        cp -r src/liblzma/api/lzma.h src/liblzma/api/lzma "$sysroot/include/wasm32-wasi/"
    )
    say "sqlite3"
    unpack sqlite3_3.46.1.orig.tar.xz sqlite
    (
        cd "$build/sqlite"
        # The amalgamation is made by programs that run here.
        env -u CC -u AR -u RANLIB -u LD_LIBRARY_PATH ./configure --quiet --disable-tcl >"$build/sqlite.log" 2>&1
        env -u CC -u AR -u RANLIB -u LD_LIBRARY_PATH make sqlite3.c >>"$build/sqlite.log" 2>&1
        mkdir -p wasi && cp sqlite3.c sqlite3.h wasi/ && cd wasi
        # One thread, no locks and no shared memory between processes: WASI has none of them.
        library sqlite3 "-DSQLITE_THREADSAFE=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_MAX_MMAP_SIZE=0 \
            -DSQLITE_ENABLE_FTS5 -DSQLITE_ENABLE_RTREE \
            -DSQLITE_ENABLE_MATH_FUNCTIONS -DSQLITE_ENABLE_COLUMN_METADATA -DSQLITE_USE_URI" sqlite3.c
        cp sqlite3.h "$sysroot/include/wasm32-wasi/"
    )
    touch "$build/.libraries"
fi

# --- A Python of the same source for this machine: it compiles the frozen modules. ---

if [[ ! -x $build/native/python ]]; then
    say "CPython $version for this machine"
    unpack "$cpython_source" source
    mkdir -p "$build/native"
    (
        cd "$build/native"
        unset CC AR RANLIB LD_LIBRARY_PATH
        ../source/configure --quiet CFLAGS=-O1 >configure.log 2>&1
        make -j"$jobs" python pybuilddir.txt >make.log 2>&1
        make -j"$jobs" sharedmods >>make.log 2>&1 || true
    )
fi

# --- CPython for WASI. ---

wasi=$build/wasi
if [[ ! -e $wasi/python.wasm ]]; then
    say "CPython $version for WASI"
    rm -rf "$wasi"
    mkdir -p "$wasi"
    (
        cd "$wasi"
        # The libraries are linked in; nobody asks pkg-config, which knows those of this machine.
        export ZLIB_CFLAGS=' ' ZLIB_LIBS=-lz BZIP2_CFLAGS=' ' BZIP2_LIBS=-lbz2
        export LIBLZMA_CFLAGS=' ' LIBLZMA_LIBS=-llzma LIBSQLITE3_CFLAGS=' ' LIBSQLITE3_LIBS=-lsqlite3
        export PKG_CONFIG=false CONFIG_SITE=$build/source/Tools/wasm/config.site-wasm32-wasi
        # Nobody runs what is being built.
        export HOSTRUNNER=false
        ../source/configure --quiet --host=wasm32-wasip1 --build="$(uname -m)-pc-linux-gnu" \
            --with-build-python="$build/native/python" --prefix=/usr/local --disable-test-modules \
            --with-pymalloc --with-computed-gotos CFLAGS="$features $maps" OPT="-DNDEBUG -fwrapv $optimise -Wall" \
            >configure.log 2>&1
        make -j"$jobs" python.wasm pybuilddir.txt >make.log 2>&1
    )
fi

# --- The tree, and the pybi of it. ---

say "packing"
stage=$work/stage
library=$stage/lib/python$minor
rm -rf "$stage"
mkdir -p "$library/lib-dynload"
# Without CPython's tests, and without what needs Tk or installs packages by starting programs.
tar -cf - -C "$build/source/Lib" --exclude=__pycache__ --exclude=./test --exclude=./idlelib \
    --exclude=./tkinter --exclude=./turtledemo --exclude=./turtle.py --exclude=./ensurepip . |
    tar -xf - -C "$library"
cp "$build/source/LICENSE" "$stage/"
# The settings of the build, with none of this machine's paths.
sysconfigdata=("$wasi/$(cat "$wasi/pybuilddir.txt")"/_sysconfigdata_*.py)
sed "s#$work#/build#g; s#$(uname -m)-[a-z]*-linux-[a-z0-9]*#build#g" "${sysconfigdata[0]}" \
    >"$library/$(basename "${sysconfigdata[0]}")"
"$tools/lib/llvm-19/bin/llvm-strip" --strip-all "$wasi/python.wasm" -o "$stage/python.wasm"
"$pyw" python pack "$stage" -o "$output"

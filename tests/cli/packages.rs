//! Packages as a user asks for them: headers, projects, locks. The index is a small one on loopback,
//! so that every byte of the output is known.

use std::path::Path;

use crate::pyw::{Pyw, finish};
use crate::support::archive::Made;
use crate::support::repo::{Entry, serve};
use crate::support::server::Server;

/// A wheel with one module that tells its version, and what it needs.
fn release(name: &str, version: &str, requires: &[&str]) -> Entry {
    let mut made = Made::new(name, version)
        .with(&format!("{name}.py"), &format!("version = '{version}'\n"))
        .with_info(
            "entry_points.txt",
            &format!("[console_scripts]\n{name}-tool = {name}:main\n"),
        );
    let mut metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n");
    for requirement in requires {
        metadata.push_str(&format!("Requires-Dist: {requirement}\n"));
    }
    made.put_info("METADATA", &metadata);
    Entry {
        filename: made.filename.clone(),
        body: made.bytes(),
        ..Entry::default()
    }
}

fn index() -> Server {
    serve(vec![
        release("apple", "1.0", &["pear>=1"]),
        release("apple", "1.1", &["pear>=1"]),
        release("pear", "1.5", &[]),
        release("pear", "2.0", &[]),
        Entry::file("stone-3.0-cp312-cp312-manylinux_2_17_x86_64.whl"),
        Entry::file("stone-3.0.tar.gz"),
    ])
}

const SCRIPT: &str = "\
# /// script
# requires-python = '>=3.12'
# dependencies = ['apple', 'pear<2']
# ///
import apple, pear
print(apple.version, pear.version)
";

fn with_index(pyw: Pyw, server: &Server) -> Pyw {
    pyw.env("PYW_INDEX_URL", server.url("/simple/"))
        .write("app.py", SCRIPT)
}

#[test]
fn a_header_is_looked_up_once() {
    let server = index();
    let pyw = with_index(Pyw::with_own_store(), &server)
        .args(["app.py"])
        .stdout("1.1 1.5\n")
        .run();
    let asked = server.log().len();
    assert!(asked > 0);
    // Warm: no request, neither while the index is there nor when it is forbidden.
    let pyw = pyw.stdout("1.1 1.5\n").run().stdout("1.1 1.5\n").run();
    let pyw = pyw.args(["--offline", "app.py"]).stdout("1.1 1.5\n").run();
    assert_eq!(server.log().len(), asked);
    // Another program with other words for the same packages finds them in the store.
    pyw.args([
        "--offline",
        "--with",
        "apple==1.1",
        "--with",
        "pear<2",
        "-c",
        "import apple",
    ])
    .run()
    .args(["--upgrade", "app.py"])
    .stdout("1.1 1.5\n")
    .run();
    assert!(server.log().len() > asked);
}

#[test]
fn what_cannot_be_had_is_explained() {
    let server = index();
    let url = server.url("/simple/");
    with_index(Pyw::new(), &server)
        .args(["--with", "stone", "-c", "1"])
        .stderr(
            "pyw: `stone` (--with) cannot be had\n  \
             stone 3.0 has only wheels for Linux\n\
             hint: if stone works without compiled code, build a pure wheel of it elsewhere and name its folder with --find-links\n",
        )
        .code(112)
        .run()
        .args(["--with", "plum", "-c", "1"])
        .stderr(&format!(
            "pyw: `plum` (--with) cannot be had\n  \
             there is no project plum on {url}\n\
             hint: check its spelling, or name its index with --extra-index-url\n"
        ))
        .code(112)
        .run()
        .args(["--with", "a b", "-c", "1"])
        .stderr("pyw: --with: \"a b\" is not a requirement: [..]\n")
        .code(2)
        .run()
        .args(["--entry", "apple-tool"])
        .stderr(
            "pyw: there are no packages here that could bring the command `apple-tool`\n\
             hint: name the package that brings it: pyw --with apple-tool --entry apple-tool\n",
        )
        .code(111)
        .run()
        .args(["--with", "pear", "--entry", "apple-tool"])
        .stderr("pyw: no package here has a command `apple-tool`\nhint: there are: pear-tool\n")
        .code(111)
        .run()
        .args(["--offline", "--with", "melon", "-c", "1"])
        .stderr(&format!(
            "pyw: melon is not in the store and --offline forbids to download it from {url}melon/\n\
             hint: run it once without --offline\n"
        ))
        .code(113)
        .run();
}

#[test]
fn headers_that_are_wrong() {
    Pyw::new()
        .write(
            "app.py",
            "# /// script\n# dependencies = ['apple', 'a b']\n# ///\n",
        )
        .args(["app.py"])
        .stderr(
            "pyw: app.py:2:28: \"a b\" is not a requirement: [..]\n  |\n\
             2 | # dependencies = ['apple', 'a b']\n  |                            ^^^^^\n\
             hint: a header holds `requires-python`, `dependencies` and `[tool]`; see PEP 723\n",
        )
        .code(2)
        .run()
        .write("app.py", "# /// script\n# dependencies = []\nprint('up')\n")
        .stdout("up\n")
        .stderr(
            "pyw: app.py:1: this `# /// script` is never closed by a `# ///`, so it counts for nothing\n",
        )
        .run();
}

#[test]
fn a_header_cannot_ask_for_the_users_files() {
    let pyw = Pyw::new()
        .write(
            "../elsewhere/pyproject.toml",
            "[project]\nname = 'secret'\nversion = '1'\n",
        )
        .write("../elsewhere/secret.py", "")
        .write(
            "app.py",
            "# /// script\n# dependencies = ['../elsewhere']\n# ///\n",
        )
        .args(["app.py"])
        .any_stderr()
        .code(2)
        .run();
    let message = "lies outside of what the program sees; to allow it, ask for it yourself: --with";
    assert!(pyw.output.stderr.contains(message), "{}", pyw.output.stderr);
    pyw.args([
        "--with",
        "../elsewhere",
        "-c",
        "import secret; print('seen')",
    ])
    .stdout("seen\n")
    .run();
}

#[test]
fn the_python_that_is_asked_for() {
    let script = |wanted: &str| {
        format!("# /// script\n# requires-python = '{wanted}'\n# ///\nprint('up')\n")
    };
    Pyw::new()
        .write("app.py", &script(">=3.12"))
        .args(["app.py"])
        .stdout("up\n")
        .run()
        .write("app.py", &script(">=3.99"))
        .stderr("pyw: no interpreter fits `>=3.99 (app.py) for wasi`\nhint: known are: [..]\n")
        .code(111)
        .run()
        .args(["--python", "3.12", "app.py"])
        .stderr(
            "pyw: app.py needs Python >=3.99, and `3.12` (--python) is CPython 3.12.0\n\
             hint: leave --python out, and pyw looks for one that fits\n",
        )
        .code(112)
        .run()
        .write("app.py", &script("new"))
        .args(["app.py"])
        .any_stderr()
        .code(2)
        .run();
}

#[test]
fn a_lock_is_written_used_and_renewed() {
    let server = index();
    let lock = "pylock.app.toml";
    let pyw = with_index(Pyw::with_own_store(), &server)
        .args(["--locked", "app.py"])
        .stderr(
            "pyw: there is no lock `{dir}/pylock.app.toml`, and --locked allows nothing else\n\
             hint: `pyw lock`, with the script if it is one, writes it; without --locked the packages are looked up\n",
        )
        .code(111)
        .run()
        .args(["lock", "app.py"])
        .stdout("wrote pylock.app.toml (2 packages)\n")
        .run()
        .args(["lock", "app.py"])
        .stdout("pylock.app.toml is as it should be (2 packages)\n")
        .run()
        .args(["lock", "--check", "app.py"])
        .stdout("{dir}/pylock.app.toml matches (2 packages)\n")
        .run()
        .args(["--locked", "app.py"])
        .stdout("1.1 1.5\n")
        .run();
    // Nothing but the lock says which files: an older release in it is what the program gets.
    let path = pyw.dir().join(lock);
    let text = std::fs::read_to_string(&path).unwrap();
    let old = release("apple", "1.0", &["pear>=1"]);
    let new = release("apple", "1.1", &["pear>=1"]);
    let digest = |entry: &Entry| pyw::store::Sha256::of(&entry.body).to_string();
    let edited = text
        .replace(&digest(&new), &digest(&old))
        .replace(
            &format!("size = {}", new.body.len()),
            &format!("size = {}", old.body.len()),
        )
        .replace("apple-1.1-", "apple-1.0-")
        .replace("\"1.1\"", "\"1.0\"");
    std::fs::write(&path, &edited).unwrap();
    let pyw = pyw.args(["app.py"]).stdout("1.0 1.5\n").run();
    // Its versions are kept until somebody wants others.
    let pyw = pyw
        .args(["lock", "app.py"])
        .stdout("pylock.app.toml is as it should be (2 packages)\n")
        .run()
        .args(["lock", "--upgrade-package", "pear", "app.py"])
        .stdout("pylock.app.toml is as it should be (2 packages)\n")
        .run()
        .args(["lock", "--upgrade", "app.py"])
        .stdout("wrote pylock.app.toml (2 packages)\n  ~ apple 1.0 → 1.1\n")
        .run();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    pyw.write("app.py", &SCRIPT.replace("pear<2", "pear"))
        .args(["--locked", "app.py"])
        .stderr(
            "pyw: the lock `{dir}/pylock.app.toml` does not match any more: what is asked for has changed since it was written\n\
             hint: `pyw lock`, with the script if it is one, writes it; without --locked the packages are looked up\n",
        )
        .code(112)
        .run()
        .args(["app.py"])
        .stdout("1.1 1.5\n")
        .stderr(
            "pyw: {dir}/pylock.app.toml does not match any more: what is asked for has changed since it was written; \
             its versions are taken where they fit, and `pyw lock` writes it anew\n",
        )
        .run()
        .args(["lock", "--check", "app.py"])
        .any_stderr()
        .code(112)
        .run();
}

#[test]
fn locks_are_files_like_others() {
    let server = index();
    let pyw = with_index(Pyw::new(), &server)
        .args(["lock", "app.py", "-o", "other.toml"])
        .stderr(
            "pyw: `other.toml` is no name of a lock, which is pylock.toml or pylock.NAME.toml\n\
             hint: `pyw help lock` tells more\n",
        )
        .code(2)
        .run()
        .args(["lock", "app.py", "--with", "pear"])
        .any_stderr()
        .code(2)
        .run()
        .args(["lock"])
        .stderr(
            "pyw: there is no pyproject.toml in {dir} or above it; name a script or a project's folder\n\
             hint: `pyw help lock` tells more\n",
        )
        .code(2)
        .run()
        .args(["lock", "app.py"])
        .any_stdout()
        .run();
    use std::os::unix::fs::PermissionsExt as _;
    let made = std::fs::metadata(pyw.dir().join("pylock.app.toml")).unwrap();
    let other = std::fs::metadata(pyw.dir().join("app.py")).unwrap();
    assert_eq!(made.permissions().mode(), other.permissions().mode());
    let pyw = pyw.args(["lock", "app.py", "-o", "-"]).any_stdout().run();
    let written = std::fs::read_to_string(pyw.dir().join("pylock.app.toml")).unwrap();
    assert_eq!(pyw.output.stdout, written);
    let pyw = pyw.args(["export", "app.py"]).any_stdout().run();
    let lines: Vec<&str> = pyw.output.stdout.lines().collect();
    assert_eq!((lines[0], lines[2]), ("apple==1.1 \\", "pear==1.5 \\"));
    assert!(lines[1].starts_with("    --hash=sha256:") && lines.len() == 4);
    // What it exports is what it takes, and what a lock of another tool is taken for.
    let hashed = pyw.output.stdout.clone();
    pyw.write("hashed.txt", &hashed)
        .write("pylock.toml", &written.split("[tool.pyw]").next().unwrap().replace("pyw", "other"))
        .args(["--with-requirements", "hashed.txt", "-c", "import apple; print(apple.version)"])
        .stdout("1.1\n")
        .run()
        .args(["--with-requirements", "pylock.toml", "-c", "import apple; print(apple.version)"])
        .stdout("1.1\n")
        .run()
        .args(["export", "pylock.toml", "-o", "again.txt"])
        .run()
        .args(["--with-requirements", "pylock.toml", "--with", "pear", "-c", "1"])
        .stderr(
            "pyw: --with-requirements: a lock is a whole environment, so nothing else can be asked for beside it\n",
        )
        .code(2)
        .run()
        .write("wrong.txt", &hashed.replace(":", ":0").replace(":00", ":1"))
        .args(["--with-requirements", "wrong.txt", "-c", "1"])
        .any_stderr()
        .code(2)
        .run();
}

#[test]
fn a_tree_says_who_asks() {
    let server = index();
    with_index(Pyw::new(), &server)
        .write(
            "shop/pyproject.toml",
            "[project]\nname = 'shop'\ndependencies = ['apple']\n[dependency-groups]\ntest = ['pear']\n",
        )
        .args(["tree", "app.py"])
        .stdout(
            "app.py\n\
             ├── apple 1.1  (apple)\n\
             │   └── pear 1.5  (pear>=1)\n\
             └── pear 1.5  (pear<2)\n",
        )
        .run()
        .args(["tree", "shop", "--group", "test"])
        .stdout(
            "shop/pyproject.toml\n\
             └── apple 1.1  (apple)\n    └── pear 2.0  (pear>=1)\n\
             shop/pyproject.toml (group test)\n\
             └── pear 2.0  (pear)\n",
        )
        .run()
        .args(["tree", "shop", "--format", "json"])
        .any_stdout()
        .run()
        .check_json(|tree| {
            assert_eq!(tree["packages"][0]["name"], "apple");
            assert_eq!(tree["packages"][1]["version"], "2.0");
        });
}

#[test]
fn projects_count_where_they_are_meant() {
    let server = index();
    let code =
        "import importlib.util as u; print(bool(u.find_spec('apple')), bool(u.find_spec('shop')))";
    with_index(Pyw::new(), &server)
        .write(
            "shop/pyproject.toml",
            "[project]\nname = 'shop'\ndependencies = ['apple']\n",
        )
        .write("shop/src/shop/__init__.py", "")
        .write("shop/src/shop/__main__.py", code)
        .write("shop/tool.py", code)
        .write("shop/deep/here.txt", "")
        .cwd("shop")
        .args(["-m", "shop"])
        .stdout("True True\n")
        .run()
        .cwd("shop/deep")
        .args(["-m", "shop"])
        .stdout("True True\n")
        .run()
        .cwd("shop")
        .args(["tool.py"])
        .stdout("False False\n")
        .run()
        .args(["--project", ".", "tool.py"])
        .stdout("True True\n")
        .run()
        .args(["--no-project", "-m", "tool"])
        .stdout("False False\n")
        .run()
        .args(["--group", "test", "-c", "1"])
        .stderr("pyw: {dir}/shop/pyproject.toml has no dependency group `test`\nhint: it has none at all\n")
        .code(111)
        .run()
        .cwd("")
        .args(["--extra", "test", "-c", "1"])
        .any_stderr()
        .code(2)
        .run();
}

#[test]
fn a_plan_names_the_packages() {
    let server = index();
    let pyw = with_index(Pyw::new(), &server)
        .args(["--dry-run", "app.py"])
        .any_stdout()
        .run();
    assert!(
        pyw.output
            .stdout
            .contains("\n# packages: apple 1.1, pear 1.5\n")
    );
    assert!(pyw.output.stdout.contains("read the packages"));
}

/// Fifty at once, of five kinds, on an empty cache: every one works, and no wheel is downloaded
/// twice.
#[test]
fn fifty_at_once() {
    let server = index();
    let mut pyw = with_index(Pyw::with_own_store(), &server);
    let code = "import apple, pear; print(apple.version, pear.version)";
    let kinds: [(&[&str], &str); 5] = [
        (&["app.py"], "1.1 1.5\n"),
        (&["--with", "apple", "-c", code], "1.1 2.0\n"),
        (&["--with", "apple<1.1", "-c", code], "1.0 2.0\n"),
        (
            &["--with", "apple", "--with", "pear<2", "-c", code],
            "1.1 1.5\n",
        ),
        (
            &["--with", "apple<1.1", "--with", "pear<2", "-c", code],
            "1.0 1.5\n",
        ),
    ];
    let started: Vec<_> = (0..50)
        .map(|at| {
            let (args, expected) = kinds[at % kinds.len()];
            (pyw.command_for(args).spawn().unwrap(), expected)
        })
        .collect();
    for (child, expected) in started {
        let output = finish(child, Vec::new());
        assert_eq!(
            (output.stdout.as_str(), output.code),
            (expected, 0),
            "{}",
            output.stderr
        );
    }
    let mut fetched: Vec<String> = server
        .log()
        .into_iter()
        .filter(|request| request.path.ends_with(".whl") && !request.headers.contains_key("range"))
        .map(|request| request.path)
        .collect();
    let all = fetched.len();
    fetched.sort();
    fetched.dedup();
    assert_eq!((fetched.len(), all), (4, 4), "{fetched:?}");
    let store = pyw.store().to_owned();
    assert_eq!(entries(&store.join("staging")), 0);
    pyw = pyw.args(["--offline", "app.py"]).stdout("1.1 1.5\n").run();
    drop(pyw);
}

fn entries(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// The script of the README, with a package from the real index.
#[test]
fn the_example_with_a_table() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/cities.py");
    let pyw = Pyw::new()
        .args([example.to_str().unwrap()])
        .env("COLUMNS", "80")
        .any_stdout()
        .run();
    assert!(
        pyw.output.stdout.contains("│ Bergen    │ 291,940 │"),
        "{}",
        pyw.output.stdout
    );
}

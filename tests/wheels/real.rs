//! Real wheels, run by the real interpreter on every runtime that is there.
//!
//! The wheels come from the index that the environment names, pinned. The interpreter and all that
//! is unpacked stay in the store of the tests (`PYW_STORE`, else `target/test-store`). What
//! `PYW_TEST_RUNTIMES` names has to be there; what else is missing is said.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use camino::{Utf8Path, Utf8PathBuf};
use pyw::cli::context::Context;
use pyw::config::{Partial, RuntimeChoice};
use pyw::interpreter::Interpreter;
use pyw::interpreter::choose::Wanted;
use pyw::launch;
use pyw::package::environment::{self, Contents, Environment};
use pyw::package::wheel::{Origin, WheelRef};
use pyw::request::grants;
use pyw::request::{Program, Request};
use pyw::sandbox::{Limits, Network, Terminals};
use pyw::store::source::{Place, Source};

use crate::support::process::child_command;
use crate::support::{Scratch, left_out};

const RUNTIMES: [&str; 3] = ["wasmtime", "wasmedge", "wasmer"];

/// Project, release, file, sha256.
const WHEELS: [[&str; 4]; 17] = [
    [
        "rich",
        "14.1.0",
        "rich-14.1.0-py3-none-any.whl",
        "536f5f1785986d6dbdea3c75205c473f970777b4a0d6c6dd1b696aa05a3fa04f",
    ],
    [
        "markdown-it-py",
        "4.0.0",
        "markdown_it_py-4.0.0-py3-none-any.whl",
        "87327c59b172c5011896038353a81343b6754500a08cd7a4973bb48c6d578147",
    ],
    [
        "mdurl",
        "0.1.2",
        "mdurl-0.1.2-py3-none-any.whl",
        "84008a41e51615a49fc9966191ff91509e3c40b939176e643fd50a5c2196b8f8",
    ],
    [
        "pygments",
        "2.19.2",
        "pygments-2.19.2-py3-none-any.whl",
        "86540386c03d588bb81d44bc3928634ff26449851e99741617ecb9037ee5ec0b",
    ],
    [
        "attrs",
        "25.3.0",
        "attrs-25.3.0-py3-none-any.whl",
        "427318ce031701fea540783410126f03899a97ffc6f61596ad581ac2e40e3bc3",
    ],
    [
        "jaraco.context",
        "6.0.1",
        "jaraco.context-6.0.1-py3-none-any.whl",
        "f797fc481b490edb305122c9181830a3a5b76d84ef6d1aef2fb9b47ab956f9e4",
    ],
    [
        "jaraco.functools",
        "4.3.0",
        "jaraco_functools-4.3.0-py3-none-any.whl",
        "227ff8ed6f7b8f62c56deff101545fa7543cf2c8e7b82a7c2116e672f29c26e8",
    ],
    [
        "more-itertools",
        "10.8.0",
        "more_itertools-10.8.0-py3-none-any.whl",
        "52d4362373dcf7c52546bc4af9a86ee7c4579df9a8dc268be0a2f949d376cc9b",
    ],
    [
        "sphinxcontrib-jsmath",
        "1.0.1",
        "sphinxcontrib_jsmath-1.0.1-py2.py3-none-any.whl",
        "2ec2eaebfb78f3f2078e73666b1415417a116cc848b72e5172e596c871103178",
    ],
    [
        "sphinxcontrib-applehelp",
        "2.0.0",
        "sphinxcontrib_applehelp-2.0.0-py3-none-any.whl",
        "4cd3f0ec4ac5dd9c17ec65e9ab272c9b867ea77425228e68ecf08d6b28ddbdb5",
    ],
    [
        "black",
        "25.1.0",
        "black-25.1.0-py3-none-any.whl",
        "95e8176dae143ba9097f351d174fdaf0ccd29efb414b362ae3fd72bf0f710717",
    ],
    [
        "click",
        "8.2.1",
        "click-8.2.1-py3-none-any.whl",
        "61a3265b914e850b85317d0b3109c7f8cd35a670f963866005d6ef1d5175a12b",
    ],
    [
        "mypy-extensions",
        "1.1.0",
        "mypy_extensions-1.1.0-py3-none-any.whl",
        "1be4cccdb0f2482337c4743e60421de3a356cd97508abadd57d47403e94f5505",
    ],
    [
        "packaging",
        "25.0",
        "packaging-25.0-py3-none-any.whl",
        "29572ef2b1f17581046b3a2227d5c611fb25ec70ca1ba8554b24b0e69331a484",
    ],
    [
        "pathspec",
        "0.12.1",
        "pathspec-0.12.1-py3-none-any.whl",
        "a0d503e138a4c123b27490a4f7beda6a01c6f288df0e4a8b79c7eb0dc7b4cc08",
    ],
    [
        "platformdirs",
        "4.4.0",
        "platformdirs-4.4.0-py3-none-any.whl",
        "abd01743f24e5287cd7a5db3752faf1a2d65353f38ec26d98e25a6db65958c85",
    ],
    [
        "setuptools",
        "80.9.0",
        "setuptools-80.9.0-py3-none-any.whl",
        "062d34222ad13e0cc312a4c02d73f059e86a4acbfbdea8f8f76b28c99f306922",
    ],
];

fn wheels() -> Vec<WheelRef> {
    WHEELS
        .iter()
        .map(|[project, version, file, sha256]| WheelRef {
            filename: (*file).to_owned(),
            sha256: sha256.parse().unwrap(),
            size: None,
            origin: Origin::Remote(vec![Source {
                place: Place::Pypi {
                    project: (*project).to_owned(),
                    version: (*version).to_owned(),
                    file: (*file).to_owned(),
                },
                sha256: None,
                member: None,
            }]),
        })
        .collect()
}

fn context(runtime: &str) -> Context {
    let root = match std::env::var_os("PYW_STORE").filter(|path| !path.is_empty()) {
        Some(path) => std::path::absolute(path).unwrap(),
        None => {
            let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
            tmp.parent().unwrap().join("test-store")
        }
    };
    let runtime = match runtime {
        "auto" => RuntimeChoice::Auto,
        name => RuntimeChoice::Named(name.to_owned()),
    };
    Context::load(Partial {
        store: Some(Utf8PathBuf::from_path_buf(root).unwrap()),
        runtime: Some(runtime),
        ..Partial::default()
    })
    .unwrap()
}

struct Ready {
    interpreter: Interpreter,
    environment: Environment,
}

/// The default interpreter and an environment with all the wheels; made once.
fn ready() -> &'static Ready {
    static READY: OnceLock<Ready> = OnceLock::new();
    READY.get_or_init(|| {
        let context = context("auto");
        let interpreter = context.interpreter(&Wanted::Default).unwrap();
        let wheels = wheels();
        let contents = Contents {
            wheels: &wheels,
            roots: &[],
        };
        let (environment, _) = environment::provide_compiled(
            contents,
            &interpreter,
            &context.store,
            &context.fetcher,
            &context.guest(),
        )
        .unwrap();
        Ready {
            interpreter,
            environment,
        }
    })
}

/// The runtimes that are here.
fn runtimes() -> Vec<&'static str> {
    let needed = std::env::var("PYW_TEST_RUNTIMES").unwrap_or_default();
    RUNTIMES
        .into_iter()
        .filter(|name| {
            let found = context("auto").find(name).unwrap().is_some();
            assert!(
                found || !needed.split(',').any(|n| n == *name),
                "PYW_TEST_RUNTIMES names {name}, which is not there"
            );
            if !found {
                left_out(&format!("there is no {name}"));
            }
            found
        })
        .collect()
}

const BEGIN: &str = "=== begin ===\n";

/// Child: becomes the program.
pub fn run(folder: &Utf8Path) {
    let told = std::fs::read(folder.join("run.json")).unwrap();
    let (runtime, words): (String, Vec<String>) = serde_json::from_slice(&told).unwrap();
    let context = context(&runtime);
    let ready = ready();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (program, options, args) = match words.as_slice() {
        [option @ .., "-c", code] => (Program::Code((*code).to_owned()), option, &[][..]),
        [option @ .., "-m", module] => (Program::Module((*module).to_owned()), option, &[][..]),
        ["--entry", name, args @ ..] => (Program::Command((*name).to_owned()), &[][..], args),
        other => panic!("{other:?}"),
    };
    let owned = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let mut python_options = owned(options);
    match program {
        Program::Code(_) => python_options.push("-c".into()),
        Program::Module(_) => python_options.push("-m".into()),
        _ => {}
    }
    let request = Request {
        program,
        python_options,
        args: owned(args),
        roots: Vec::new(),
        mounts: Vec::new(),
        env: BTreeMap::from([("COLUMNS".to_owned(), "60".to_owned())]),
        cwd: None,
        network: Network::None,
        endpoints: Vec::new(),
        limits: Limits::default(),
        terminals: Terminals::default(),
        private_tmp: true,
        javascript: false,
        caller_cwd: folder.join("work"),
        home: None,
    };
    let scratch = launch::scratch::choose();
    let (interpreter, environment) = (&ready.interpreter, Some(&ready.environment));
    let sandbox = grants::sandbox(&request, interpreter, environment, &scratch).unwrap();
    let runtime = context.find(&runtime).unwrap().unwrap();
    let adaptations = &runtime.descriptor.quirks.adaptations;
    interpreter.adapted(adaptations, &context.store).unwrap();
    let module = interpreter.adapted_module(adaptations, &context.store);
    let plan = context
        .plan(
            &sandbox,
            &runtime,
            &module,
            pyw::sandbox::IsolationLevel::None,
        )
        .unwrap();
    print!("{BEGIN}");
    std::io::Write::flush(&mut std::io::stdout()).unwrap();
    let outcome = launch::run(&plan, || {}).unwrap();
    let code = match outcome {
        launch::Outcome::Code(code) => i32::from(code),
        launch::Outcome::Signal(signal) => 128 + signal,
    };
    std::process::exit(code);
}

/// What a program writes on each runtime, and its exit code. For what takes long one runtime will
/// do: WasmEdge interprets, and takes a minute for what others do in a second.
fn run_on(all: bool, words: &[&str], check: impl Fn(&str, &str, i32)) {
    ready();
    let count = if all { RUNTIMES.len() } else { 1 };
    for runtime in runtimes().into_iter().take(count) {
        let scratch = Scratch::new();
        std::fs::create_dir(scratch.path.join("work")).unwrap();
        std::fs::write(scratch.path.join("work/ugly.py"), "x  =  { 'a':1 }\n").unwrap();
        let told = serde_json::to_vec(&(runtime, words)).unwrap();
        std::fs::write(scratch.path.join("run.json"), told).unwrap();
        let mut command: Command = child_command("run", &scratch.path);
        let output = command
            .stdout(std::process::Stdio::piped())
            .output()
            .unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        let Some((_, stdout)) = stdout.split_once(BEGIN) else {
            panic!("{runtime}: {stdout}{stderr}");
        };
        // The test harness is impatient with the slowest runtime.
        let stdout: String = stdout
            .split_inclusive('\n')
            .filter(|line| !line.starts_with("test child has been running"))
            .collect();
        println!("{runtime}: {stdout}{stderr}");
        check(&stdout, &stderr, output.status.code().unwrap_or(-1));
    }
}

fn everywhere(words: &[&str], check: impl Fn(&str, &str, i32)) {
    run_on(true, words, check);
}

fn once(words: &[&str], check: impl Fn(&str, &str, i32)) {
    run_on(false, words, check);
}

fn prints(words: &[&str], expected: &str) {
    once(words, |stdout, stderr, code| {
        assert_eq!((stdout, stderr, code), (expected, "", 0));
    });
}

/// All that a runtime could do wrong, in one start of it.
#[test]
fn every_runtime_shows_the_packages() {
    let code = "import importlib.metadata, os, sys, attr, jaraco.context\n\
                print([p for p in sys.path if p.endswith('-packages')])\n\
                print(attr.__file__, attr.__spec__.cached, os.path.exists(attr.__spec__.cached))\n\
                print(importlib.metadata.version('Markdown_It.py'), list(jaraco.__path__))\n\
                print(os.path.exists(sys.prefix + '/lib/python3.12/os.py'))\n\
                for change in (lambda: open(attr.__file__, 'a'), lambda: os.remove(attr.__file__),\n    \
                               lambda: os.mkdir(os.path.dirname(attr.__file__) + '/x')):\n    \
                try: change(); print('written')\n    \
                except OSError: print('refused')";
    let site = "/usr/local/lib/python3.12/site-packages";
    let expected = format!(
        "['{site}']\n{site}/attr/__init__.py \
         {site}/attr/__pycache__/__init__.cpython-312.pyc True\n\
         4.0.0 ['{site}/jaraco']\nTrue\nrefused\nrefused\nrefused\n"
    );
    everywhere(&["-I", "-c", code], |stdout, stderr, code| {
        assert_eq!((stdout, stderr, code), (expected.as_str(), "", 0));
    });
}

#[test]
fn packages_are_found_by_site_itself() {
    let code = "import sys, attr; print(attr.__file__)";
    let expected = "/usr/local/lib/python3.12/site-packages/attr/__init__.py\n";
    prints(&["-c", code], expected);
    once(&["-S", "-c", "import attr"], |_, stderr, code| {
        assert!(stderr.ends_with("ModuleNotFoundError: No module named 'attr'\n"));
        assert_eq!(code, 1);
    });
}

#[test]
fn bytecode_is_what_is_run() {
    // Its path is the guest's, and no source is compiled.
    let code = "import builtins, sys\n\
                import importlib._bootstrap_external as b\n\
                def never(*a, **k): raise SystemExit('compiled')\n\
                b.SourceLoader.source_to_code = never\n\
                import rich.console, attrs, click, jaraco.functools\n\
                print(rich.console.Console.print.__code__.co_filename)\n\
                print(attrs.define.__code__.co_filename)";
    prints(
        &["-c", code],
        "/usr/local/lib/python3.12/site-packages/rich/console.py\n\
         /usr/local/lib/python3.12/site-packages/attr/_next_gen.py\n",
    );
}

#[test]
fn metadata_is_found() {
    let code = "import importlib.metadata as m\n\
                print(m.version('Markdown_It.py'), m.distribution('rich').read_text('INSTALLER'))\n\
                print(len(list(m.distributions())), sorted(m.packages_distributions()['jaraco']))\n\
                files = m.files('attrs')\n\
                print(len(files), all(f.locate().exists() for f in files))\n\
                print(sorted(f.name for f in files if 'LICENSE' in f.name))\n\
                print([e.value for e in m.entry_points(group='console_scripts', name='black')])";
    prints(
        &["-c", code],
        "4.0.0 pyw\n\n17 ['jaraco.context', 'jaraco.functools']\n36 True\n['LICENSE']\n\
         ['black:patched_main']\n",
    );
}

#[test]
fn packages_work() {
    let code = "from rich.console import Console\n\
                from rich.table import Table\n\
                t = Table('a', 'b'); t.add_row('1', '2'); Console().print(t)\n\
                import attrs\n\
                P = attrs.make_class('P', ['x']); print(P(1))\n\
                import jaraco.functools, jaraco.context\n\
                print(jaraco.functools.compose(str, abs)(-1), list(jaraco.__path__))\n\
                import sphinxcontrib\n\
                print(sorted(__import__('os').listdir(list(sphinxcontrib.__path__)[0])))";
    prints(
        &["-c", code],
        "┏━━━┳━━━┓\n┃ a ┃ b ┃\n┡━━━╇━━━┩\n│ 1 │ 2 │\n└───┴───┘\nP(x=1)\n\
         1 ['/usr/local/lib/python3.12/site-packages/jaraco']\n['applehelp', 'jsmath']\n",
    );
}

#[test]
fn commands_run_as_they_do_natively() {
    let args = ["--entry", "pygmentize", "-f", "html", "ugly.py"];
    everywhere(&args, |stdout, stderr, code| {
        let expected = "<span class=\"n\">x</span>  <span class=\"o\">=</span>";
        assert!(stdout.contains(expected), "{stdout}");
        assert_eq!((stderr, code), ("", 0));
    });
    let args = ["--entry", "pygmentize", "--no"];
    once(&args, |_, stderr, code| {
        assert!(stderr.starts_with("usage: pygmentize "), "{stderr}");
        assert_eq!(code, 2);
    });
    let code = "import sys; sys.argv[1:] = ['--version']; import runpy; \
                runpy.run_module('markdown_it.cli.parse', run_name='__main__')";
    once(&["-c", code], |stdout, _, code| {
        assert!(stdout.contains("4.0.0"), "{stdout}");
        assert_eq!(code, 0);
    });
}

#[test]
fn nothing_runs_at_the_start() {
    // setuptools and sphinxcontrib-jsmath bring such files.
    let code = "import sys, os; print([f for f in os.listdir(sys.path[-1]) if '.pth' in f], \
                '_distutils_hack' in sys.modules)";
    prints(&["-c", code], "[] False\n");
    let dropped = |name: &str| {
        let site = ready().environment.site_packages();
        !site.join(name).exists()
    };
    assert!(dropped("distutils-precedence.pth"));
}

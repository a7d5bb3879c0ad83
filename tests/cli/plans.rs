//! What becomes of one sandbox on each built-in runtime: the exact command, the fence and the
//! table, and every refusal. Plans are plain values, so nothing is started here.
//!
//! `INSTA_UPDATE=always cargo test --test cli plans` writes the snapshots anew.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::Duration;

use camino::Utf8PathBuf;
use pyw::interpreter::{Compiled, Module};
use pyw::plan::{self, Abilities, Fence, Plan, Refusal};
use pyw::runtime::catalog::Catalog;
use pyw::runtime::{Descriptor, Found, Runtime};
use pyw::sandbox::{
    Access, IsolationLevel, Limits, Mount, Network, Purpose, Sandbox, Scratch, Start, Terminals,
};

fn mount(host: &str, guest: &str, access: Access) -> Mount {
    Mount {
        host: host.into(),
        guest: guest.into(),
        access,
        purpose: Purpose::Grant,
    }
}

/// A sandbox with something of everything that all runtimes can hold.
fn sandbox() -> Sandbox {
    Sandbox {
        args: ["-I", "/home/me/app.py", "two words", "--", "--dir", ""]
            .map(str::to_owned)
            .into(),
        env: BTreeMap::from(
            [
                ("EMPTY", ""),
                ("PLAIN", "a=b"),
                ("SPACED", " a b\t"),
                ("WORDS", "two words"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        ),
        start: Some(Start {
            cwd: "/home/me".into(),
            executable: "/usr/local/bin/python3.12".into(),
            argv0: Some("app.py".into()),
            path0: None,
            memory: None,
            learn: None,
            site: None,
        }),
        mounts: vec![
            Mount {
                purpose: Purpose::Root,
                ..mount("/tmp/pyw-1/7/root", "/", Access::Read)
            },
            mount("/home/me", "/home/me", Access::Read),
            mount("/srv/größe 1", "/out put", Access::Write),
            Mount {
                purpose: Purpose::Interpreter,
                ..mount("/store/i/lib", "/usr/local/lib", Access::Read)
            },
            Mount {
                purpose: Purpose::Private,
                ..mount("/tmp/pyw-1/7/tmp", "/tmp", Access::Write)
            },
        ],
        network: Network::None,
        endpoints: Vec::new(),
        plain_script: None,
        limits: Limits {
            timeout: Some(Duration::from_millis(1500)),
            ..Limits::default()
        },
        terminals: Terminals {
            stdin: true,
            stdout: false,
            stderr: true,
            size: Some((24, 80)),
        },
        javascript: false,
        teaches: false,
        scratch: Some(Scratch {
            root: "/tmp/pyw-1/7".into(),
            folders: vec!["/tmp/pyw-1/7/root".into(), "/tmp/pyw-1/7/tmp".into()],
            ..Scratch::default()
        }),
    }
}

fn runtime(name: &str, version: &str) -> Runtime {
    let catalog = Catalog::load(None).unwrap();
    let version: semver::Version = version.parse().unwrap();
    let entry = catalog.get(name).unwrap();
    let descriptor = entry.describe(Some(&version)).unwrap();
    let executable = Utf8PathBuf::from(format!("/opt/{name}/bin/{name}"));
    let lean = descriptor.compile.as_ref().and_then(|c| c.lean.as_ref());
    Runtime {
        lean: lean.map(|lean| lean.beside(&executable)),
        descriptor,
        executable,
        found: Found::Path,
        version: Some(version),
        build: "1".into(),
        cache: format!("/store/cache/{name}").into(),
        libraries: vec![format!("/opt/{name}/lib").into()],
        script: false,
        host_script: catalog
            .get(name)
            .unwrap()
            .host_script
            .as_ref()
            .map(|_| format!("/store/runtimes/{name}-host/host.mjs").into()),
    }
}

fn of(name: &str) -> Runtime {
    match name {
        "wasmtime" => runtime(name, "49.0.3"),
        "wasmedge" => runtime(name, "0.17.1"),
        "node" | "node-wasi" => runtime(name, "24.19.0"),
        "deno" => runtime(name, "2.9.8"),
        _ => runtime(name, "7.4.2"),
    }
}

fn landlock() -> Fence {
    Fence {
        paths: Abilities::Available("fence (Landlock)".into()),
        calls: Abilities::Available("fence (seccomp)".into()),
        mounts: Abilities::Available("fence (tmpfs)".into()),
        system: vec!["/usr/lib".into()],
    }
}

fn no_fence() -> Fence {
    Fence {
        paths: Abilities::Missing("this kernel has no Landlock".into()),
        calls: Abilities::Missing("this kernel has no seccomp".into()),
        mounts: Abilities::Missing("this system has no mounts to spare".into()),
        system: Vec::new(),
    }
}

fn known() -> Vec<Descriptor> {
    let catalog = Catalog::load(None).unwrap();
    let entries = catalog.entries().iter();
    entries.map(|entry| entry.describe(None).unwrap()).collect()
}

fn plan_on(
    runtime: &Runtime,
    sandbox: &Sandbox,
    fence: &Fence,
    required: IsolationLevel,
) -> Result<Plan, Vec<Refusal>> {
    plan_of(runtime, sandbox, fence, required, &[])
}

/// The plan for a module that imports this beyond WASI preview 1.
fn plan_of(
    runtime: &Runtime,
    sandbox: &Sandbox,
    fence: &Fence,
    required: IsolationLevel,
    imports: &[&str],
) -> Result<Plan, Vec<Refusal>> {
    plan::plan(
        sandbox,
        &plan::Context {
            compile: None,
            runtime,
            fence,
            module: &Module {
                path: "/store/modules/m/python.wasm".into(),
                identity: "m".into(),
                compiled: runtime.descriptor.compile.as_ref().map(|compile| Compiled {
                    file: format!("/store/compiled/m/{}", compile.file).into(),
                    lean: compile.lean.is_some(),
                }),
                memory: 10 << 20,
                imports: imports.iter().map(|text| text.parse().unwrap()).collect(),
            },
            own: &["/store".into()],
            known: &known,
            required,
        },
    )
}

fn show(plan: &Result<Plan, Vec<Refusal>>) -> String {
    let mut out = String::new();
    let plan = match plan {
        Ok(plan) => plan,
        Err(refusals) => {
            for refusal in refusals {
                let _ = writeln!(out, "{}: {}", refusal.grant, refusal.reason);
                for choice in &refusal.choices {
                    let _ = writeln!(out, "  - {choice}");
                }
            }
            return out;
        }
    };
    let _ = writeln!(out, "isolation {}\n{}", plan.isolation, plan.program);
    for arg in &plan.args {
        let _ = writeln!(out, "  {arg:?}");
    }
    let _ = writeln!(out, "environment");
    for (name, value) in &plan.env {
        let _ = writeln!(out, "  {name}={value}");
    }
    if let Some(bytes) = plan.process_stack {
        let _ = writeln!(out, "stack of the process {bytes}");
    }
    let _ = writeln!(out, "watch {:?}", plan.watch);
    if let Some(scratch) = &plan.scratch {
        let _ = writeln!(out, "scratch {}", scratch.root);
        for path in scratch.folders.iter().chain(&scratch.files) {
            let _ = writeln!(out, "  {path}");
        }
        for (link, target) in &scratch.links {
            let _ = writeln!(out, "  {link} -> {target}");
        }
        for (file, text) in &scratch.texts {
            let _ = writeln!(out, "  {file}");
            let told: serde_json::Value = serde_json::from_str(text).unwrap();
            let _ = writeln!(out, "{told:#}");
        }
    }
    match &plan.fence {
        None => out.push_str("no fence\n"),
        Some(fence) => {
            for (name, paths) in [
                ("execute", &fence.execute),
                ("read", &fence.read),
                ("write", &fence.write),
            ] {
                let _ = writeln!(out, "fence, {name}");
                for path in paths {
                    let _ = writeln!(out, "  {path}");
                }
            }
            if fence.calls {
                out.push_str("fence, system calls\n");
            }
        }
    }
    out.push_str("grants\n");
    for row in &plan.grants {
        let _ = writeln!(out, "  {} | {}", row.grant, row.enforced_by);
    }
    out
}

const ALL: [&str; 6] = [
    "wasmtime",
    "wasmer",
    "wasmedge",
    "node",
    "deno",
    "node-wasi",
];

#[test]
fn one_sandbox_on_each_runtime() {
    for name in ALL {
        let plan = plan_on(&of(name), &sandbox(), &landlock(), IsolationLevel::Process);
        insta::assert_snapshot!(format!("{name}"), show(&plan));
        // Nothing that a later run executes can be changed, not even by who breaks out of a runtime.
        let fence = plan.unwrap().fence.unwrap();
        assert!(!fence.write.iter().any(|path| path.starts_with("/store")));
    }
}

#[test]
fn limits_on_the_runtimes_that_have_them() {
    for (name, limits) in [
        (
            "wasmtime",
            Limits {
                memory: Some(64 << 20),
                stack: Some(1 << 20),
                ..Limits::default()
            },
        ),
        (
            "wasmer",
            Limits {
                memory: None,
                stack: Some(1 << 20),
                ..Limits::default()
            },
        ),
        (
            "wasmedge",
            Limits {
                // Pages are rounded down: never more than was asked for.
                memory: Some((64 << 20) + 65535),
                stack: None,
                ..Limits::default()
            },
        ),
    ] {
        let sandbox = Sandbox {
            limits,
            env: BTreeMap::new(),
            mounts: Vec::new(),
            ..sandbox()
        };
        let plan = plan_on(&of(name), &sandbox, &landlock(), IsolationLevel::Process).unwrap();
        let shown: Vec<&str> = plan
            .args
            .iter()
            .map(String::as_str)
            .skip_while(|arg| !arg.starts_with("PYW_START"))
            .skip(1)
            .take_while(|arg| !arg.starts_with("/store/"))
            .collect();
        let expected: &[&str] = match name {
            "wasmtime" => &[
                "-W",
                "max-memory-size=67108864",
                "-W",
                "max-wasm-stack=1048576",
            ],
            "wasmer" => &["--stack-size", "1048576"],
            _ => &["--memory-page-limit", "1024"],
        };
        assert_eq!(shown, expected, "{name}");
        assert_eq!(plan.watch.timeout, None);
    }
}

/// Host paths that a runtime cannot spell are reached through a private link.
#[test]
fn paths_with_colons_go_through_links() {
    let odd = Sandbox {
        mounts: vec![
            mount("/srv/a::b", "/two", Access::Read),
            mount("/srv/a:b c", "/one", Access::Write),
        ],
        env: BTreeMap::new(),
        ..sandbox()
    };
    for (name, links) in [
        ("wasmtime", vec!["/srv/a::b"]),
        ("wasmer", vec![]),
        ("wasmedge", vec!["/srv/a::b", "/srv/a:b c"]),
    ] {
        let plan = plan_on(&of(name), &odd, &landlock(), IsolationLevel::Process).unwrap();
        let scratch = plan.scratch.unwrap();
        let targets: Vec<_> = scratch.links.iter().map(|(_, to)| to.as_str()).collect();
        assert_eq!(targets, links, "{name}");
        for (link, _) in &scratch.links {
            let spelt = format!("{link}/.");
            assert!(
                plan.args.iter().any(|arg| arg.contains(&spelt)),
                "{name} {:?}",
                plan.args
            );
        }
        // The fence is about where a link leads to.
        let fence = plan.fence.unwrap();
        assert!(fence.read.contains(&Utf8PathBuf::from("/srv/a::b")));
        assert!(fence.write.contains(&Utf8PathBuf::from("/srv/a:b c")));
    }
}

/// Every refusal names the grant, the runtime and what can be done.
#[test]
fn refusals() {
    let ask = |change: &dyn Fn(&mut Sandbox)| {
        let mut asked = sandbox();
        change(&mut asked);
        asked
    };
    let network = ask(&|s| s.network = Network::Host);
    let little = ask(&|s| s.limits.memory = Some(9 << 20));
    let stack = ask(&|s| s.limits.stack = Some(1 << 20));
    let colon = ask(&|s| s.mounts.push(mount("/srv/x", "/a:b", Access::Read)));
    let inside = ask(&|s| s.mounts.push(mount("/srv/größe 1/x", "/x", Access::Read)));
    let store = ask(&|s| s.mounts.push(mount("/", "/host", Access::Write)));
    let below = ask(&|s| s.mounts.push(mount("/store/cache", "/c", Access::Write)));
    let single = ask(&|s| s.endpoints = vec!["example.org:443".parse().unwrap()]);
    let sized = ask(&|s| s.limits.tmp_size = Some(1 << 20));
    let sized_host = ask(&|s| {
        s.limits.tmp_size = Some(1 << 20);
        s.mounts.retain(|mount| mount.guest != "/tmp");
        s.mounts.push(mount("/srv/t", "/tmp", Access::Write));
    });
    let no_mounts = Fence {
        mounts: Abilities::Missing("this system lets pyw have no mounts of its own".into()),
        ..landlock()
    };
    let mut open = of("wasmtime");
    open.descriptor.network.host = Some(Vec::new());
    let many = ask(&|s| {
        s.network = Network::Host;
        s.limits.memory = Some(64 << 20);
    });
    let colons = ask(&|s| {
        s.mounts.push(mount("/srv/a::b", "/x", Access::Read));
        s.scratch.as_mut().unwrap().root = "/tmp/a::b/7".into();
    });
    let mut out = String::new();
    let mut case = |what: &str, runtime: &Runtime, sandbox: &Sandbox, fence: &Fence| {
        let plan = plan_on(runtime, sandbox, fence, IsolationLevel::Process);
        assert!(plan.is_err(), "{what} is not refused");
        let _ = writeln!(out, "# {what}, {}\n{}", runtime.label(), show(&plan));
    };
    for name in ALL {
        case("the host's network", &of(name), &network, &landlock());
        case(
            "read-only without a fence",
            &of(name),
            &sandbox(),
            &no_fence(),
        );
        case("too little memory", &of(name), &little, &landlock());
    }
    case("a stack", &of("wasmedge"), &stack, &landlock());
    case(
        "a guest path with a colon",
        &of("wasmedge"),
        &colon,
        &landlock(),
    );
    case(
        "a guest path with a colon",
        &of("wasmer"),
        &colon,
        &landlock(),
    );
    case(
        "read-only inside writable",
        &of("wasmtime"),
        &inside,
        &landlock(),
    );
    case(
        "writing above the store",
        &of("wasmtime"),
        &store,
        &landlock(),
    );
    case(
        "writing inside the store",
        &of("wasmtime"),
        &below,
        &landlock(),
    );
    case("several at once", &of("wasmer"), &many, &landlock());
    case("no place for a link", &of("wasmtime"), &colons, &landlock());
    let script = Runtime {
        script: true,
        ..of("wasmtime")
    };
    case("one host", &of("wasmtime"), &single, &landlock());
    case("one host of all", &open, &single, &landlock());
    case("a size of /tmp", &of("wasmtime"), &sized, &no_mounts);
    case(
        "a size of a folder",
        &of("wasmtime"),
        &sized_host,
        &landlock(),
    );
    case("a script", &script, &sandbox(), &landlock());
    for (name, import) in [
        ("wasmtime", "wasi_snapshot_preview1 sock_open"),
        ("wasmedge", "wasix_32v1 proc_fork"),
        ("wasmer", "env memory"),
    ] {
        let plan = plan_of(
            &of(name),
            &sandbox(),
            &landlock(),
            IsolationLevel::Process,
            &[import],
        );
        let _ = writeln!(out, "# a foreign import, {name}\n{}", show(&plan));
    }
    insta::assert_snapshot!("refusals", out);
}

/// What a plan reaches follows from the runtime and the fence alone.
#[test]
fn isolation_has_a_name() {
    use IsolationLevel::{None, Process, Runtime, Strong};
    let half = Fence {
        calls: Abilities::Missing("this kernel has no seccomp".into()),
        ..landlock()
    };
    for (name, fence, level) in [
        ("wasmtime", landlock(), Strong),
        ("wasmtime", half.clone(), Runtime),
        ("wasmtime", no_fence(), Runtime),
        ("node", landlock(), Process),
        ("node", half.clone(), None),
        ("node-wasi", landlock(), Process),
        ("node-wasi", half, None),
    ] {
        assert_eq!(plan::reached(&of(name).descriptor, &fence), level, "{name}");
    }
    let plan = plan_on(&of("wasmtime"), &sandbox(), &landlock(), Strong).unwrap();
    assert_eq!(plan.isolation, Strong);
    let writable = Sandbox {
        mounts: vec![mount("/srv/out", "/out", Access::Write)],
        ..sandbox()
    };
    let plan = plan_on(&of("wasmtime"), &writable, &no_fence(), Runtime).unwrap();
    assert_eq!(plan.isolation, Runtime);
}

/// Less than what is required is refused, with the reason and what can be done.
#[test]
fn isolation_can_be_insisted_on() {
    let writable = Sandbox {
        mounts: vec![mount("/srv/out", "/out", Access::Write)],
        ..sandbox()
    };
    let refused = |name: &str, fence: &Fence, level| {
        let plan = plan_on(&of(name), &writable, fence, level);
        show(&Err(plan.unwrap_err()))
    };
    assert_eq!(
        refused("wasmtime", &no_fence(), IsolationLevel::Strong),
        "isolation `strong`: there is no whole fence: this kernel has no Landlock, so that this \
         reaches `runtime`\n  - accept less: --require-isolation runtime\n"
    );
    assert_eq!(
        refused("node", &landlock(), IsolationLevel::Strong),
        "isolation `strong`: node is no sandbox by itself, so that this reaches `process`\n  \
         - use an interpreter built for WASI: --platform wasi\n  \
         - accept less: --require-isolation process\n"
    );
}

/// What a user accepts is told in the table, and nowhere else accepted.
#[test]
fn writable_mounts_can_be_accepted() {
    // On the others nothing runs without a fence.
    for name in &ALL[..3] {
        let plan = plan_on(&of(name), &sandbox(), &no_fence(), IsolationLevel::None).unwrap();
        assert_eq!(plan.fence, None);
        let row = plan
            .grants
            .iter()
            .find(|row| row.grant == "read /home/me")
            .unwrap();
        assert_eq!(
            row.enforced_by, "nobody: writable, as you accepted",
            "{name}"
        );
    }
}

/// A script can be a runtime where nothing confines it.
#[test]
fn a_script_is_accepted_without_a_fence() {
    let script = Runtime {
        script: true,
        ..of("wasmtime")
    };
    assert!(plan_on(&script, &sandbox(), &no_fence(), IsolationLevel::None).is_ok());
}

/// An overlay of a descriptor changes plans from its version on.
#[test]
fn overlays_change_plans() {
    let text = format!(
        "{}\n[[overlay]]\nversions = \">=50\"\n[overlay.mount]\n\
         read = [\"--dir\", \"{{host}}::{{guest}}::ro\"]\n",
        include_str!("../../runtimes/wasmtime.toml")
    );
    let text = pyw::runtime::descriptor::Text::parse(&text).unwrap();
    let mut shown = BTreeSet::new();
    for version in ["49.0.3", "50.0.0"] {
        let version: semver::Version = version.parse().unwrap();
        let runtime = Runtime {
            descriptor: text.for_version(Some(&version)).unwrap(),
            version: Some(version),
            ..of("wasmtime")
        };
        let plan = plan_on(&runtime, &sandbox(), &no_fence(), IsolationLevel::Runtime);
        shown.insert(
            plan.map(|plan| plan.args.contains(&"/home/me::/home/me::ro".to_owned()))
                .ok(),
        );
    }
    assert_eq!(shown, BTreeSet::from([None, Some(true)]));
}

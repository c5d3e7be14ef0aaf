//! The example programs, built, and run by tables.

use crate::metadata;
use crate::program::{Finished, Program};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use std::{env, fs};

/// The packages that have examples which any build has.
const PACKAGES: [&str; 5] = ["becket-sys", "becket-loop", "becket-fiber", "becket-examples", "becket-libraries"];

/// How long a program of a table may run.
const SOON: Duration = Duration::from_secs(30);

/// A program, its arguments, and what it prints: `{..}` in that stands for anything, ends of lines too.
pub type Run<'a> = (&'a str, &'a [&'a str], &'a str);

/// The path of the example program `name` of any package, built for the same profile as the running test.
///
/// scripts/test builds them all beforehand and says so in `BECKET_EXAMPLES`; else this asks cargo once a process.
pub fn path(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = || env::var_os("BECKET_EXAMPLES").map_or_else(|| build(&PACKAGES, &["--examples"]), PathBuf::from);
    let file = FOLDER.get_or_init(folder).join(name);
    assert!(file.is_file(), "there is no example program {}", file.display());
    file
}

/// The path of the example program `name` of any package, built with the feature `feature`: now, or by scripts/test. It is
/// not the one that `path` knows, if there is such.
pub fn path_with(feature: &str, name: &str) -> PathBuf {
    let folder = env::var_os("BECKET_EXAMPLES").map(PathBuf::from);
    let built = folder.map(|folder| folder.join(feature).join(name)).filter(|file| file.is_file());
    built.unwrap_or_else(|| {
        let example = metadata::examples().into_iter().find(|example| example.name == name);
        let package = example.unwrap_or_else(|| panic!("no package has an example {name}")).package;
        // Cargo has one place for both, so this one is put aside before somebody has the other one built.
        static BUILDS: Mutex<()> = Mutex::new(());
        let _one_at_a_time = BUILDS.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = build(&[&package], &["--example", name, "--features", feature]);
        let (aside, file) = (folder.join(feature), folder.join(feature).join(name));
        let _ = fs::remove_file(&file);
        fs::create_dir_all(aside)
            .and_then(|()| fs::hard_link(folder.join(name), &file))
            .expect("a link to the program");
        file
    })
}

/// Runs each program of a table, one after the other: it ends by itself with status 0, and has printed what is said
/// there. One that prints a line with `SKIP: ` in front cannot run here; the line is passed on.
pub fn run_all(table: &[Run<'_>]) {
    let failed: Vec<String> = table.iter().filter_map(|run| problem(run).err()).collect();
    assert!(failed.is_empty(), "{} of {} failed:\n{}", failed.len(), table.len(), failed.join("\n"));
}

fn problem(&(name, args, expected): &Run<'_>) -> Result<(), String> {
    let Finished { status, stdout, stderr } = Program::start(path(name), args).finish(SOON);
    if let Some(skip) = stdout.lines().find(|line| line.starts_with("SKIP: ")) {
        println!("{skip}");
        return Ok(());
    }
    if status.success() && matches(expected, &stdout) {
        return Ok(());
    }
    Err(format!("{name} {args:?}: {status}\nexpected:\n{expected}\nstdout:\n{stdout}\nstderr:\n{stderr}"))
}

/// Whether `text` is what is expected, where `{..}` stands for anything.
fn matches(expected: &str, text: &str) -> bool {
    let Some((front, last)) = expected.rsplit_once("{..}") else { return text == expected };
    let mut parts = front.split("{..}");
    let rest = parts.next().and_then(|first| text.strip_prefix(first)?.strip_suffix(last));
    rest.is_some_and(|mut rest| parts.all(|part| rest.find(part).map(|at| rest = &rest[at + part.len()..]).is_some()))
}

/// Whether the examples in `folder` of the workspace are those of the table and those named in `elsewhere`, which have
/// tests of their own; whether each begins by saying what it shows; and whether it does so in 60 lines, unless that says
/// that it is a tool.
pub fn assert_complete(folder: &str, table: &[Run<'_>], elsewhere: &[&str]) {
    let known = |name: &str| elsewhere.contains(&name) || table.iter().any(|run| run.0 == name);
    let mut wrong = Vec::new();
    for entry in fs::read_dir(workspace().join(folder)).expect("the folder of examples") {
        let file = entry.expect("an entry of the folder").path();
        if file.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        let name = file.file_stem().unwrap_or_default().to_string_lossy();
        let text = fs::read_to_string(&file).expect("the text of an example");
        if !text.contains("\nfn main(") && !text.contains("\npub(crate) fn main(") {
            continue; // a module
        }
        let head: String = text.lines().take_while(|line| line.starts_with("//!")).collect();
        let lines = text.lines().count();
        wrong.extend((!known(&name)).then(|| format!("{name}: no test runs it")));
        wrong.extend(head.is_empty().then(|| format!("{name}: it does not begin with what it shows")));
        wrong.extend((lines > 60 && !head.contains("tool")).then(|| format!("{name}: {lines} lines")));
    }
    assert!(wrong.is_empty(), "{folder}:\n{}", wrong.join("\n"));
}

/// Has cargo build `what` of `packages`, and returns the folder of the examples.
fn build(packages: &[&str], what: &[&str]) -> PathBuf {
    // TARGET/PROFILE/deps/TEST-HASH
    let test = env::current_exe().expect("the path of the test");
    let profile = test.ancestors().nth(2).expect("a profile's folder");
    let release = profile.file_name().is_some_and(|name| name == "release");
    let mut cargo = Command::new(metadata::cargo());
    cargo.args(["build", "--quiet"]).args(packages.iter().flat_map(|package| ["--package", package])).args(what);
    cargo.args(release.then_some("--release"));
    cargo.arg("--target-dir").arg(profile.parent().expect("a target folder"));
    let status = cargo.current_dir(workspace()).status().expect("cargo build");
    assert!(status.success(), "the example programs do not build");
    profile.join("examples")
}

/// The top folder of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace")
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn what_is_left_open_may_be_anything_and_the_rest_may_not() {
        for (expected, text) in [("a\n", "a\n"), ("{..}", ""), ("a {..} c {..}\n", "a b\nb c d\n"), ("a{..}a", "aba")] {
            assert!(matches(expected, text), "{expected:?} {text:?}");
        }
        for (expected, text) in [("a\n", "a\nb\n"), ("a\n", "b a\n"), ("a{..}b{..}", "a c"), ("a{..}a", "a")] {
            assert!(!matches(expected, text), "{expected:?} {text:?}");
        }
    }
}

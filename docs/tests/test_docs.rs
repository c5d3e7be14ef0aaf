//! `scripts/test-docs` finds what is wrong in pages, and lets pass what is right.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A repository of these files, in a folder that goes with it.
struct Repository(PathBuf);

impl Repository {
    fn new(name: &str, files: &[(&str, &str)]) -> io::Result<Repository> {
        let root = std::env::temp_dir().join(format!("becket-test-docs-{name}-{}", std::process::id()));
        for (path, text) in files {
            let file = root.join(path);
            fs::create_dir_all(file.parent().unwrap())?;
            fs::write(file, text)?;
        }
        let made = Command::new("git").args(["init", "--quiet"]).current_dir(&root).status()?;
        assert!(made.success());
        Ok(Repository(root))
    }

    /// The mistakes that are found, without what failed commands printed, and whether the check said that all is well.
    /// `None`, with a line that says SKIP, where there is nothing to run it by.
    fn check(&self, parts: &[&str]) -> Option<(Vec<String>, bool)> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/test-docs");
        let output = match Command::new(script).arg("--root").arg(&self.0).args(parts).output() {
            Ok(output) => output,
            Err(e) if e.kind() == ErrorKind::NotFound => {
                println!("SKIP: there is no python3");
                return None;
            }
            Err(e) => panic!("scripts/test-docs: {e}"),
        };
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.lines().last().is_some_and(|line| line.starts_with("scripts/test-docs: ")), "{text}");
        // What is said while it is at work ends with a time.
        let (_, found) = text.rsplit_once(" s\n").unwrap();
        let mistakes = found.lines().filter(|line| !line.starts_with("    ") && !line.is_empty());
        let mut mistakes: Vec<String> = mistakes.map(str::to_owned).collect();
        mistakes.pop();
        Some((mistakes, output.status.success()))
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn assert_found(name: &str, files: &[(&str, &str)], parts: &[&str], mistakes: &[&str]) {
    let repository = Repository::new(name, files).unwrap();
    if let Some((found, well)) = repository.check(parts) {
        assert_eq!(found, mistakes);
        assert_eq!(well, mistakes.is_empty());
    }
}

#[test]
fn links_that_lead_nowhere() {
    let page = "# Some `code`, and more\n\
                [here](#some-code-and-more) [there](b/two.md#second-1) [a file](b/two.md) [a folder](b)\n\
                [gone](b/three.md) [nobody](b/two.md#third) [odd](https://nowhere)\n\
                ```text\n[in a block](nothing counts)\n```\n\
                `b/two.md` is there, `b/four.md` is not; [by name][two], [by no name][none].\n\n\
                [two]: b/two.md\n";
    let mistakes = [
        "a.md:3: b/three.md: no such file",
        "a.md:3: b/two.md#third: no #third there",
        "a.md:3: https://nowhere: not an address",
        "a.md:7: [none]: no such reference",
        "a.md:7: there is no b/four.md",
    ];
    assert_found("links", &[("a.md", page), ("b/two.md", "# Second\n\n## Second\n")], &["links"], &mistakes);
}

#[test]
fn chapters_that_are_left_out() {
    let files = [
        ("docs/src/SUMMARY.md", "[One](one.md)\n"),
        ("docs/src/one.md", "```rust,ignore\n```\n"),
        ("docs/src/two.md", ""),
        ("docs/lib.rs", r#"one: "src/one.md","#),
        ("README.md", "```rust,no_run\n// Not run: it would wait.\n```\n```rust,no_run\n```\n"),
    ];
    let mistakes = [
        "docs/src/two.md:1: is not in SUMMARY.md",
        "README.md:1: is not mounted in docs/lib.rs, so that its Rust is not compiled",
        "README.md:4: no_run, and its first line is not `// Not run: WHY`",
        "docs/src/one.md:1: Rust that is not even compiled (ignore)",
        "docs/src/two.md:1: is not mounted in docs/lib.rs, so that its Rust is not compiled",
    ];
    assert_found("pages", &files, &["pages"], &mistakes);
}

#[test]
fn commands_that_do_not_do_what_they_say() {
    let page = "```sh\ntrue\nexit 3\n```\n\
                ```console\n$ printf 'one\\ntwo\\nthree\\n'\none\n...\nth[..]e\n$ echo yes\nno\n```\n\
                <!-- not run: it would fail -->\n```sh\nfalse\n```\n\
                <!-- not run: -->\n```sh\nfalse\n```\n\
                <!-- file: in/it.txt -->\n```text\nwritten\n```\n\n\
                <!-- in a folder of its own -->\n```console\n$ cat in/it.txt becket/b.txt # both\nwritten\nhere\n```\n\
                ```sh\nsleep 600   # ^C ends it\n```\n\
                ```sh\nsleep 600 &   # and is not left behind\n```\n\
                ```toml\nname = \n```\n";
    let mistakes = [
        "a.md:1: the block: exit status 3",
        "a.md:5: echo yes prints",
        "a.md:18: not run, without a reason",
        "a.md:32: the block: exit status 130",
        "a.md:38: no TOML: Invalid value (at line 1, column 8)",
    ];
    assert_found("commands", &[("a.md", page), ("b.txt", "here\n")], &["commands"], &mistakes);
}

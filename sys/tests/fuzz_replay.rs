//! What the fuzzer found worth keeping, and mutations of it, through the functions that the fuzzer calls. See
//! `fuzz/README.md`.

#[path = "common/descriptors.rs"]
mod descriptors;

#[path = "../fuzz/kinds.rs"]
mod kinds;

use std::fs;
use std::path::Path;

/// A generator of our own: the same numbers each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % end.max(1)
    }
}

/// One change of the kind that finds mistakes in lengths: a byte, a small or extreme word, a cut, a piece twice.
fn mutate(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    let at = numbers.below(bytes.len());
    match numbers.below(5) {
        0 if !bytes.is_empty() => bytes[at] ^= 1 << numbers.below(8),
        1 if !bytes.is_empty() => bytes[at] = numbers.below(256) as u8,
        2 if bytes.len() >= at + 4 => {
            let extremes = [0, 1, 3, 4, 15, 16, 23, 24, 255, 0x7fff_ffff, 0x8000_0000, u32::MAX - 3, u32::MAX];
            bytes[at..at + 4].copy_from_slice(&extremes[numbers.below(extremes.len())].to_ne_bytes());
        }
        3 => bytes.truncate(at),
        _ => {
            let piece = bytes[at..].to_vec();
            bytes.extend(piece);
            bytes.truncate(4096);
        }
    }
}

#[test]
fn every_corpus_and_its_mutations_keep_the_promises() {
    let mut numbers = Numbers(1);
    for (name, check) in kinds::KINDS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(name);
        let mut paths: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(!paths.is_empty(), "{} is empty", folder.display());
        paths.sort(); // the same order, and so the same mutations, each time
        for path in &paths {
            let seed = fs::read(path).unwrap();
            assert!(seed.len() <= 1024, "{} is too large for a repository", path.display());
            check(&seed);
            for _ in 0..200 {
                let mut bytes = seed.clone();
                for _ in 0..=numbers.below(4) {
                    mutate(&mut bytes, &mut numbers);
                    check(&bytes);
                }
            }
        }
    }
}

#[test]
fn every_corpus_has_its_target_and_every_target_its_corpus() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let names = |folder: &str| {
        let entries = fs::read_dir(fuzz.join(folder)).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().path().file_stem().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let kinds: Vec<_> = kinds::KINDS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names("corpus"), kinds);
    assert_eq!(names("fuzz_targets"), kinds);
}

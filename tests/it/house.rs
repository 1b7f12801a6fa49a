//! The house: which room may use which, which foreign crate lives where, and how files begin and end.
//!
//! A file may use its own room, rooms of lower floors, and rooms to its left on its own floor. `lib.rs` and what is compiled for
//! tests only are exempt.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, the lowest first; on each, its rooms from left to right.
const FLOORS: &[(&str, &[&str])] = &[
    ("words", &["ids", "time", "error", "config", "metrics", "hook"]),
    ("things", &["codec", "key", "frame"]),
    ("pipes and stores", &["channel", "timer", "state"]),
    ("contracts", &["snapshot", "operator", "source", "sink", "gate", "output"]),
    ("composition and decisions", &["chain", "window", "join", "checkpoint", "supervision"]),
    ("execution", &["task"]),
    ("plan", &["plan"]),
    ("actors", &["executor", "actor"]),
    ("the job", &["job"]),
    ("front", &["connector", "api", "stored", "testing", "dashboard", "bin"]),
];

/// Foreign crates, and the rooms where they may be used.
const FOREIGN: &[(&str, &[&str])] = &[
    ("ractor", &["actor"]),
    ("crossbeam_channel", &["channel"]),
    ("atomic_waker", &["channel", "testing"]),
    ("rmp_serde", &["codec"]),
    ("xxhash_rust", &["key"]),
    ("hashbrown", &["state"]),
    ("crc32c", &["snapshot", "connector"]),
    ("object_store", &["snapshot"]),
    ("clap", &["bin"]),
    ("serde_json", &["bin"]),
    ("csv", &["connector"]),
    ("flate2", &["connector"]),
    ("glob", &["connector"]),
    ("proptest", &["testing"]),
    ("tokio", &["executor", "actor", "job", "connector", "testing"]),
];

/// The names of clocks, and the rooms where they may be used: the test kit reads tokio's virtual time.
const CLOCKS: (&[&str], &[&str]) = (&["Instant", "SystemTime"], &["time", "testing"]);

/// Lines that a file may have.
const MAX_LINES: usize = 450;

/// Longer files, each with the reason.
const LONG_FILES: &[(&str, &str)] =
    &[("checkpoint/coordinator_tests.rs", "the statements about one machine, one small test each, with one bench for all")];

/// A source file.
struct File {
    /// Below `src/`, with `/` between the parts.
    name: String,
    room: String,
    /// How deep its module is below the crate: 1 for `src/job.rs` and `src/task/mod.rs`.
    depth: usize,
    text: String,
}

impl File {
    fn read(root: &Path, path: &Path) -> File {
        let below = path.strip_prefix(root).unwrap();
        let name = below.iter().map(|part| part.to_str().unwrap()).collect::<Vec<_>>().join("/");
        let modules = name.trim_end_matches(".rs").trim_end_matches("/mod");
        let room = modules.split('/').next().unwrap().to_owned();
        let depth = modules.split('/').count();
        File { name, room, depth, text: fs::read_to_string(path).unwrap() }
    }

    /// The lines that are compiled outside tests, with their numbers, without comments. Test modules in a file stand at its end.
    fn code(&self) -> Vec<(usize, &str)> {
        let mut code: Vec<(usize, &str)> = Vec::new();
        for (number, line) in (1..).zip(self.text.lines()) {
            let after_cfg_test = code.last().is_some_and(|(_, before)| *before == "#[cfg(test)]");
            if after_cfg_test && line.starts_with("mod ") && line.ends_with('{') {
                break;
            }
            code.push((number, line.split("//").next().unwrap()));
        }
        code
    }

    /// The modules in files of their own that are compiled for tests only.
    fn test_modules(&self) -> Vec<String> {
        let own = self.name.trim_end_matches(".rs").trim_end_matches("mod").trim_end_matches('/');
        let beside = self.name.rsplit_once('/').map_or("", |(dir, _)| dir);
        let (mut found, mut in_test, mut path) = (Vec::new(), false, None);
        for line in self.text.lines().map(str::trim) {
            if line == "#[cfg(test)]" {
                in_test = true;
            } else if let Some(other) = line.strip_prefix("#[path = \"") {
                path = other.split('"').next();
            } else {
                let module = line.trim_start_matches("pub(crate) ").strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';'));
                if let (true, Some(module)) = (in_test, module) {
                    found.push(
                        path.map_or(format!("{own}/{module}"), |file| format!("{beside}/{}", file.trim_end_matches(".rs"))),
                    );
                }
                (in_test, path) = (false, None);
            }
        }
        found
    }
}

/// All files of `src/`, in order.
fn all_files() -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut dirs, mut paths) = (vec![root.clone()], BTreeSet::<PathBuf>::new());
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                paths.insert(path);
            }
        }
    }
    paths.iter().map(|path| File::read(&root, path)).collect()
}

/// The files that the table holds for.
fn housed_files() -> Vec<File> {
    let files = all_files();
    let exempt: Vec<String> = files.iter().flat_map(File::test_modules).collect();
    let is_exempt = |file: &File| {
        let of_tests = |module: &String| file.name == format!("{module}.rs") || file.name.starts_with(&format!("{module}/"));
        file.name == "lib.rs" || exempt.iter().any(of_tests)
    };
    files.into_iter().filter(|file| !is_exempt(file)).collect()
}

/// The room's floor and place on it.
fn place(room: &str) -> Option<(usize, usize)> {
    let on_floor = |(floor, (_, rooms)): (usize, &(&str, &[&str]))| Some((floor, rooms.iter().position(|it| *it == room)?));
    FLOORS.iter().enumerate().find_map(on_floor)
}

/// The rooms that a room may use beside itself.
fn allowed(room: &str) -> Vec<&'static str> {
    let Some((floor, at)) = place(room) else { return Vec::new() };
    let lower = FLOORS.iter().take(floor).flat_map(|(_, rooms)| rooms.iter());
    lower.chain(FLOORS[floor].1.iter().take(at)).copied().collect()
}

/// The words that follow each `prefix` where it begins a word.
fn words_after<'a>(line: &'a str, prefix: &str) -> Vec<&'a str> {
    let mut words = Vec::new();
    for (at, _) in line.match_indices(prefix) {
        let begins_word = !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
        let rest = &line[at + prefix.len()..];
        let end = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        if begins_word {
            words.push(&rest[..end]);
        }
    }
    words
}

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| !line[..at].ends_with(is_part) && !line[at + word.len()..].starts_with(is_part))
}

fn assert_none(faults: &[String]) {
    let mut text = String::new();
    faults.iter().for_each(|fault| writeln!(text, "  {fault}").unwrap());
    assert!(faults.is_empty(), "\n{text}");
}

#[test]
fn every_file_uses_only_rooms_below_it_or_to_its_left() {
    let mut faults = Vec::new();
    for file in housed_files() {
        if place(&file.room).is_none() {
            faults.push(format!("src/{}: the room '{}' is on no floor", file.name, file.room));
            continue;
        }
        let allowed = allowed(&file.room);
        for (number, line) in file.code() {
            for room in words_after(line, "crate::") {
                if room != file.room && !allowed.contains(&room) {
                    let own = &file.room;
                    faults.push(format!("src/{}:{number}: uses '{room}'; '{own}' may use {}", file.name, allowed.join(", ")));
                }
            }
            let up = line.matches("super::").count();
            if up >= file.depth {
                faults.push(format!("src/{}:{number}: leaves its room with 'super::'; write 'crate::'", file.name));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn every_foreign_crate_lives_in_its_rooms() {
    let mut faults = Vec::new();
    for file in housed_files() {
        for (number, line) in file.code() {
            for (name, rooms) in FOREIGN {
                let used = !words_after(line, &format!("{name}::")).is_empty();
                if used && !rooms.contains(&file.room.as_str()) {
                    faults.push(format!("src/{}:{number}: uses {name}, which lives in {} only", file.name, rooms.join(", ")));
                }
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn the_clocks_are_read_in_one_place() {
    let (clocks, rooms) = CLOCKS;
    let mut faults = Vec::new();
    for file in housed_files().into_iter().filter(|file| !rooms.contains(&file.room.as_str())) {
        for (number, line) in file.code() {
            if let Some(clock) = clocks.iter().find(|clock| has_word(line, clock)) {
                faults.push(format!("src/{}:{number}: names {clock}; time is read through time::Clock", file.name));
            }
        }
    }
    assert_none(&faults);
}

#[test]
fn every_file_says_what_lives_in_it() {
    let silent = all_files().into_iter().filter(|file| !file.text.starts_with("//! "));
    assert_none(&silent.map(|file| format!("src/{}: begins without '//!'", file.name)).collect::<Vec<_>>());
}

#[test]
fn no_file_is_too_long() {
    let mut faults = Vec::new();
    for file in all_files() {
        let (lines, listed) = (file.text.lines().count(), LONG_FILES.iter().any(|(name, _)| *name == file.name));
        if lines > MAX_LINES && !listed {
            faults.push(format!("src/{}: {lines} lines; at most {MAX_LINES}: divide it, or list it with a reason", file.name));
        }
        if lines <= MAX_LINES && listed {
            faults.push(format!("src/{}: is listed as long, and has {lines} lines only", file.name));
        }
    }
    assert_none(&faults);
}

#[test]
fn the_checks_see_what_they_are_for() {
    assert_eq!(words_after("use crate::frame::Batch; mycrate::x; crate::key", "crate::"), ["frame", "key"]);
    assert!(has_word("std::time::Instant;", "Instant") && !has_word("Instants", "Instant"));
    assert!(allowed("gate").contains(&"sink") && !allowed("gate").contains(&"output") && !allowed("gate").contains(&"task"));
    let names: Vec<String> = housed_files().into_iter().map(|file| file.name).collect();
    assert!(names.contains(&"gate/alignment.rs".to_owned()) && !names.contains(&"gate/alignment_tests.rs".to_owned()));
    assert!(!names.contains(&"key/hash_tests.rs".to_owned()) && !names.contains(&"chain/script.rs".to_owned()));
}

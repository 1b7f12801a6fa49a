//! The text of `words`: a file of the user's, or about 200 MB of ASCII that is spread like prose, made once and kept in cargo's target.
//!
//! Integers only and a fixed seed: the same bytes on every platform. Ranks are drawn an octave at a time, each octave as often as
//! any other, which is Zipf's law in steps: the word of rank r comes about as often as 1 in 11 r.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::by_hand::mix;

/// The size of the text that is made.
const BYTES: u64 = 200_000_000;
/// Octaves of ranks: 65,535 of them.
const OCTAVES: u64 = 16;
/// Kept in the file's name: raise it when the text changes.
const VERSION: u32 = 1;

/// The whole text, in memory.
pub fn load(path: Option<&Path>) -> io::Result<Arc<str>> {
    let made;
    let path = match path {
        Some(path) => path,
        None => {
            made = make()?;
            &made
        }
    };
    fs::read_to_string(path).map(Arc::from)
}

/// Makes the text under another name first, so that a text that is there is whole.
fn make() -> io::Result<PathBuf> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("prose-v{VERSION}.txt"));
    if !path.exists() {
        let part = path.with_extension("part");
        write(&part)?;
        fs::rename(&part, &path)?;
    }
    Ok(path)
}

fn write(path: &Path) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    let mut draws = (0..).map(mix);
    let mut draw = move || draws.next().unwrap_or_default();
    let mut line = Vec::new();
    let mut written = 0;
    while written < BYTES {
        line.clear();
        for _ in 0..8 + draw() % 9 {
            push_word(&mut line, rank(draw()));
            line.push(b' ');
        }
        line.pop();
        line.push(b'\n');
        out.write_all(&line)?;
        written += line.len() as u64;
    }
    out.flush()
}

fn rank(draw: u64) -> u64 {
    let octave = draw % OCTAVES;
    (1 << octave) + (draw >> 32) % (1 << octave)
}

/// The word of a rank: frequent words are short, and consonants and vowels take turns.
fn push_word(line: &mut Vec<u8>, rank: u64) {
    let mut letters = mix(rank);
    let length = 2 + u64::from(rank.ilog2()) / 3 + letters % 4;
    letters >>= 2;
    for at in 0..length {
        let alphabet: &[u8] = if at % 2 == 0 { b"bcdfghjklmnprstvw" } else { b"aeiou" };
        line.push(alphabet[(letters % alphabet.len() as u64) as usize]);
        letters /= alphabet.len() as u64;
    }
}

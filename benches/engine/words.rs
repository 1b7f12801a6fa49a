//! A source of the words of a text in memory: split s of p has the lines s, s + p, …; each word is a string of its own.

use std::sync::Arc;
use std::task::Waker;

use tidegate::{BoxError, Poll, Records, Source, SplitReader};

/// The words of a text.
pub struct Words {
    p: usize,
    text: Arc<str>,
}

impl Words {
    /// In `p` splits.
    pub fn new(p: usize, text: &Arc<str>) -> Self {
        Words { p, text: text.clone() }
    }
}

/// Reads one split.
pub struct Reader {
    text: Arc<str>,
    p: usize,
    /// Where the next word is looked for: in a line of this split, or at the end of the text.
    at: usize,
    /// The end of that line.
    line_end: usize,
}

/// Where the line begins that comes `n` lines after the one of `from`, or the end of the text.
fn lines_on(text: &str, from: usize, n: usize) -> usize {
    (0..n).fold(from, |from, _| text[from..].find('\n').map_or(text.len(), |length| from + length + 1))
}

/// Where the line of `from` ends.
fn line_end(text: &str, from: usize) -> usize {
    text[from..].find('\n').map_or(text.len(), |length| from + length)
}

impl Source for Words {
    type Item = String;
    type Position = u64;
    type Reader = Reader;

    fn splits(&self) -> Result<Vec<(String, u64)>, BoxError> {
        Ok((0..self.p).map(|s| (s.to_string(), lines_on(&self.text, 0, s) as u64)).collect())
    }

    fn open(&self, _: &str, position: u64) -> Result<Reader, BoxError> {
        let at = position as usize;
        Ok(Reader { text: self.text.clone(), p: self.p, at, line_end: line_end(&self.text, at) })
    }
}

impl SplitReader for Reader {
    type Item = String;
    type Position = u64;

    fn poll(&mut self, out: &mut Records<'_, String>, _: &Waker) -> Result<Poll, BoxError> {
        let text = &*self.text;
        while self.at < text.len() {
            for word in text[self.at..self.line_end].split_ascii_whitespace() {
                if out.room() == 0 {
                    self.at = word.as_ptr() as usize - text.as_ptr() as usize;
                    return Ok(Poll::Ready);
                }
                out.push(word.to_owned());
            }
            self.at = lines_on(text, self.line_end, self.p);
            self.line_end = line_end(text, self.at);
        }
        Ok(Poll::Ended)
    }

    fn position(&self) -> u64 {
        self.at as u64
    }
}

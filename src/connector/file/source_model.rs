//! The sources of files with contents of any kind: quotes, line ends and byte order marks wherever they may fall.
//!
//! Always: what is read from a position on is what is read behind it from the beginning.

use proptest::prelude::*;

use super::source_tests::{both_ways, resume_everywhere};
use super::{CsvFiles, LineFiles};

fn contents() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(vec![
        &b"a"[..],
        b"b",
        b",",
        b"\"",
        b"\"\"",
        b"\n",
        b"\r\n",
        b"\r",
        b" ",
        b"\xef\xbb\xbf",
        b"\xff",
        b"x,\"y\nz\"\n",
    ]);
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn g1_any_contents_are_resumed_at_every_position(contents in contents()) {
        both_ways(&contents, |path| {
            resume_everywhere(&CsvFiles::<Vec<String>>::at(path).headers(false));
            resume_everywhere(&CsvFiles::<Vec<String>>::at(path));
            let lines = resume_everywhere(&LineFiles::at(path)).values;
            if let Ok(text) = std::str::from_utf8(&contents) {
                assert!(lines.iter().map(String::as_str).eq(text.lines()), "{lines:?}");
            }
        });
    }
}

//! What is written, byte for byte, and read back; rmp-serde is the judge of everything but maps whose keys are no strings.

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::*;

fn bytes<T: Serialize + ?Sized>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(value, &mut bytes).unwrap();
    bytes
}

#[track_caller]
fn golden<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: T, expected: &[u8]) {
    assert_eq!(bytes(&value), expected, "{:02x?}", bytes(&value));
    assert_eq!(decode::<T>(expected).unwrap(), value);
}

#[test]
fn a_map_whose_keys_are_strings_is_a_map() {
    golden(BTreeMap::from([("a".to_string(), 1u8)]), &[0x81, 0xa1, b'a', 1]);
    golden(BTreeMap::from([('b', 1u8)]), &[0x81, 0xa1, b'b', 1]);
    golden(BTreeMap::from([(Some("a".to_string()), 1u8)]), &[0x81, 0xa1, b'a', 1]);
    golden(BTreeMap::<String, u8>::new(), &[0x80]);
    golden(BTreeMap::<u64, u8>::new(), &[0x80]);
}

#[test]
fn a_map_whose_keys_are_no_strings_is_an_array_of_pairs() {
    golden(BTreeMap::from([(7u64, true), (300, false)]), &[0x92, 0xdc, 0, 2, 7, 0xc3, 0xdc, 0, 2, 0xcd, 0x01, 0x2c, 0xc2]);
    golden(BTreeMap::from([((1u8, 2u8), "x".to_string())]), &[0x91, 0xdc, 0, 2, 0x92, 1, 2, 0xa1, b'x']);
    golden(BTreeMap::from([(None, 1u8), (Some(2u8), 3)]), &[0x92, 0xdc, 0, 2, 0xc0, 1, 0xdc, 0, 2, 2, 3]);
    let nested = BTreeMap::from([("in".to_string(), BTreeMap::from([(-1i8, BTreeMap::from([(false, 0u8)]))]))]);
    golden(nested, &[0x81, 0xa2, b'i', b'n', 0x91, 0xdc, 0, 2, 0xff, 0x91, 0xdc, 0, 2, 0xc2, 0]);
}

#[test]
fn maps_that_were_written_as_maps_are_read_all_the_same() {
    assert_eq!(decode::<BTreeMap<u64, bool>>(&[0x81, 7, 0xc3]).unwrap(), BTreeMap::from([(7, true)]));
    assert_eq!(decode::<BTreeMap<u64, bool>>(&[0x91, 0x92, 7, 0xc3]).unwrap(), BTreeMap::from([(7, true)]));
    assert!(decode::<BTreeMap<u64, bool>>(&[0x91, 0x93, 7, 0xc3, 0xc3]).is_err());
    assert!(decode::<BTreeMap<u64, bool>>(&[0x91, 7]).is_err());
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Named {
    id: u32,
    names: HashMap<u16, String>,
    shape: Shape,
    unit: (),
    wide: i128,
    bytes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Point,
    Circle(f64),
    Line(i32, i64),
    Box { width: Option<u8>, empty: Marker },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Marker;

/// Read without its type being known before: by its tag, by trial, and by what is left over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Counts { by_id: BTreeMap<i32, u64>, pairs: Vec<(i32, u64)> },
    Nothing,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Tried {
    Text(String),
    ById(BTreeMap<u8, Vec<u8>>),
    Pairs(Vec<(u8, Vec<u8>)>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    a: u8,
    #[serde(flatten)]
    rest: BTreeMap<String, BTreeMap<u8, u8>>,
}

#[test]
fn maps_are_maps_where_the_type_is_found_out_while_reading() {
    let by_id = BTreeMap::from([(-5, 1), (5, 2)]);
    for value in [Tagged::Counts { by_id, pairs: vec![(1, 2)] }, Tagged::Nothing] {
        assert_eq!(decode::<Tagged>(&bytes(&value)).unwrap(), value);
    }
    let tried = [
        Tried::Text("x".into()),
        Tried::ById(BTreeMap::from([(1, vec![2]), (3, vec![])])),
        Tried::Pairs(vec![(1, vec![2]), (3, vec![])]),
    ];
    for value in tried {
        assert_eq!(decode::<Tried>(&bytes(&value)).unwrap(), value);
    }
    let flat = Flat { a: 1, rest: BTreeMap::from([("b".to_string(), BTreeMap::from([(2, 3)]))]) };
    assert_eq!(decode::<Flat>(&bytes(&flat)).unwrap(), flat);
}

#[test]
fn lists_and_maps_of_unknown_length_have_their_header_in_front() {
    struct Unknown;
    impl Serialize for Unknown {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            use serde::ser::{SerializeMap, SerializeSeq};
            struct Map(bool);
            impl Serialize for Map {
                fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    let mut map = serializer.serialize_map(None)?;
                    for n in 0..20u8 {
                        if self.0 { map.serialize_entry(&n, &n)? } else { map.serialize_entry(&n.to_string(), &n)? }
                    }
                    map.end()
                }
            }
            let mut seq = serializer.serialize_seq(None)?;
            seq.serialize_element(&Map(true))?;
            seq.serialize_element(&Map(false))?;
            seq.end()
        }
    }
    let written = bytes(&Unknown);
    let pairs = decode::<(BTreeMap<u8, u8>, BTreeMap<String, u8>)>(&written).unwrap();
    assert_eq!(pairs.0, (0..20).map(|n| (n, n)).collect());
    assert_eq!(pairs.1, (0..20).map(|n| (n.to_string(), n)).collect());
    assert_eq!(written[..4], [0x92, 0xdc, 0, 20]);
}

#[test]
fn extension_types_are_refused_before_they_are_kept() {
    #[derive(Serialize)]
    #[serde(rename = "_ExtStruct")]
    struct Ext((i8, [u8; 1]));
    assert!(encode(&Ext((1, [2])), &mut Vec::new()).unwrap_err().to_string().contains("extension types"));
    assert!(decode::<u8>(&[0xd4, 1, 2]).is_err());
}

#[test]
fn nesting_is_bounded() {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Nested(#[expect(dead_code, reason = "only its depth counts")] Vec<Nested>);
    let deep = [vec![0x91; MAX_DEPTH + 10], vec![0x90]].concat();
    assert!(decode::<Nested>(&deep).is_err());
    let less = [vec![0x91; MAX_DEPTH - 10], vec![0x90]].concat();
    assert!(decode::<Nested>(&less).is_ok());
    // Passing over goes no deeper, however deep it is.
    assert!(decode::<serde::de::IgnoredAny>(&[vec![0x91; 1 << 20], vec![0x90]].concat()).is_ok());
    assert!(decode::<serde::de::IgnoredAny>(&[0x91; 100]).is_err());
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        Just(Shape::Point),
        any::<f64>().prop_map(Shape::Circle),
        any::<(i32, i64)>().prop_map(|(a, b)| Shape::Line(a, b)),
        any::<Option<u8>>().prop_map(|width| Shape::Box { width, empty: Marker }),
    ]
}

/// Scalars and lists of several kinds.
type Mixed = (Vec<(i64, u64)>, Option<String>, (f32, bool, char), u128, [i16; 3]);
/// The same, with an enum and a map.
type All = (Mixed, Shape, BTreeMap<String, i32>);

proptest! {
    #[test]
    fn what_is_written_is_read(
        id: u32,
        names in prop::collection::hash_map(any::<u16>(), ".{0,40}", 0..40),
        shape in shape(),
        wide: i128,
        bytes_of: Vec<u8>,
    ) {
        let value = Named { id, names, shape, unit: (), wide, bytes: bytes_of };
        let read: Named = decode(&bytes(&value)).unwrap();
        prop_assert_eq!(bytes(&read).len(), bytes(&value).len());
        prop_assert!(read == value || matches!(value.shape, Shape::Circle(x) if x.is_nan()));
    }

    #[test]
    fn without_such_maps_it_is_what_rmp_serde_writes_and_reads(
        value: Mixed,
        shape in shape(),
        by_name in prop::collection::btree_map(".{0,300}", any::<i32>(), 0..20),
    ) {
        let all = (value, shape, by_name);
        let ours = bytes(&all);
        prop_assert_eq!(&ours, &rmp_serde::to_vec_named(&all).unwrap());
        let (read, theirs): (All, All) = (decode(&ours).unwrap(), rmp_serde::from_slice(&ours).unwrap());
        // Not by equality, which no NaN has.
        prop_assert_eq!(format!("{read:?}"), format!("{theirs:?}"));
    }

    #[test]
    fn any_bytes_are_a_value_or_an_error(bytes: Vec<u8>) {
        let _ = decode::<Named>(&bytes);
        let _ = decode::<Tagged>(&bytes);
        let _ = decode::<HashMap<u64, Vec<String>>>(&bytes);
        let _ = decode::<serde::de::IgnoredAny>(&bytes);
    }
}

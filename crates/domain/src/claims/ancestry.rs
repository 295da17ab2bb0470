//! The claim `ancestors`: what an exchanged token dies with, in as few bytes as JSON allows.

use crate::access::Ancestor;
use crate::id::{GrantId, TargetId};
use crate::revision::Born;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Serialize, Serializer};
use serde_json::Value;

/// One as it is written: its targets are base64url of all of them, 16 bytes each.
#[derive(Serialize)]
struct Written {
    born: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_id: Option<String>,
    targets: String,
}

impl From<&Ancestor> for Written {
    fn from(ancestor: &Ancestor) -> Self {
        let targets: Vec<u8> = ancestor.targets.iter().flat_map(|target| target.0).collect();
        Self {
            born: ancestor.born.0,
            grant_id: ancestor.grant.map(|grant| grant.to_string()),
            targets: URL_SAFE_NO_PAD.encode(targets),
        }
    }
}

pub(super) fn write<S: Serializer>(ancestors: &[Ancestor], out: S) -> Result<S::Ok, S::Error> {
    out.collect_seq(ancestors.iter().map(Written::from))
}

/// Reads what `write` wrote. None for anything else: what cannot be read could not be found dead.
pub(super) fn read(claim: &Value) -> Option<Vec<Ancestor>> {
    claim.as_array()?.iter().map(one).collect()
}

fn one(written: &Value) -> Option<Ancestor> {
    let grant = match written.get("grant_id") {
        Some(id) => Some(GrantId::parse(id.as_str()?)?),
        None => None,
    };
    let bytes = URL_SAFE_NO_PAD.decode(written.get("targets")?.as_str()?).ok()?;
    let (targets, []) = bytes.as_chunks::<16>() else { return None };
    let targets = targets.iter().copied().map(TargetId).collect();
    Some(Ancestor { born: Born(written.get("born")?.as_u64()?), grant, targets })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn written(ancestors: &[Ancestor]) -> Value {
        write(ancestors, serde_json::value::Serializer).unwrap()
    }

    #[test]
    fn what_is_written_reads_back_and_nothing_else_is_read() {
        let grant = Some(GrantId([7; 16]));
        let own = Ancestor { born: Born(3), grant: None, targets: vec![TargetId([1; 16])] };
        let user = Ancestor { born: Born((1 << 53) - 1), grant, targets: vec![TargetId([1; 16]), TargetId([2; 16])] };
        for ancestors in [vec![], vec![own.clone()], vec![user, own]] {
            assert_eq!(read(&written(&ancestors)), Some(ancestors));
        }
        for garbled in [
            json!({}),
            json!([{}]),
            json!([{"born": 1}]),
            json!([{"born": "1", "targets": ""}]),
            json!([{"born": 1, "targets": "AAAA"}]),
            json!([{"born": 1, "targets": "", "grant_id": "AA"}]),
        ] {
            assert_eq!(read(&garbled), None, "{garbled}");
        }
    }
}

//! The section `[sqs]`: merged as everything else, and checked.

use super::file::SqsFile;
use super::resolve::{Merge, only_file};
use super::{Sqs, UserFile};

/// Where other servers of this kind have their queues.
const ACCOUNT_ID_DEFAULT: &str = "000000000000";
/// What most clients are set to.
const REGION_DEFAULT: &str = "us-east-1";

/// Merges flags and the file.
///
/// # Errors
/// A sentence that names the value and what it must be.
pub(super) fn merge(merge: &Merge<'_>, file: SqsFile, users: &[(String, UserFile)]) -> Result<Sqs, String> {
    let args = &merge.flags.args;
    let sqs = Sqs {
        account_id: merge.word(
            "sqs-account-id",
            &args.sqs_account_id,
            "sqs.account_id",
            &file.account_id,
            ACCOUNT_ID_DEFAULT.to_owned(),
            account_id,
        )?,
        region: merge.word(
            "sqs-region",
            &args.sqs_region,
            "sqs.region",
            &file.region,
            REGION_DEFAULT.to_owned(),
            region,
        )?,
        namespace: only_file("sqs.namespace", file.namespace, "default".to_owned()),
        relaxed: merge.switch("sqs-relaxed", args.sqs_relaxed, "sqs.relaxed", file.relaxed),
        access_keys: file.access_keys.into_iter().collect(),
    };
    for (id, key) in &sqs.access_keys {
        if key.secret.is_empty() {
            return Err(format!("sqs.access_keys.{id}: a key needs its secret"));
        }
        match &key.user {
            None if users.is_empty() => {}
            None => {
                return Err(format!("sqs.access_keys.{id}: say whose key it is with `user`, one of [users]"));
            }
            Some(user) if users.is_empty() && user == "guest" => {}
            Some(user) if users.iter().any(|(name, _)| name == user) => {}
            Some(user) => {
                return Err(format!("sqs.access_keys.{id}: there is no user {user:?}; add [users.{user}]"));
            }
        }
    }
    Ok(sqs)
}

fn account_id(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is not an account; it has twelve digits, like {ACCOUNT_ID_DEFAULT}"))
}

fn region(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if !text.is_empty() && text.bytes().all(allowed) {
        return Ok(text.to_owned());
    }
    Err(format!("{text:?} is not a region; write it like {REGION_DEFAULT}"))
}

#[cfg(test)]
mod tests {
    use super::super::{Flags, file, resolve};

    fn read(text: &str) -> Result<super::Sqs, String> {
        resolve::merge(&Flags::default(), None, file::parse(text).unwrap()).map(|config| config.sqs)
    }

    #[test]
    fn defaults_are_those_of_other_local_servers() {
        let sqs = read("").unwrap();
        assert_eq!((sqs.account_id.value.as_str(), sqs.region.value.as_str()), ("000000000000", "us-east-1"));
        assert!(sqs.access_keys.is_empty() && !sqs.relaxed.value);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, part) in [
            ("[sqs]\naccount_id = \"12\"", "twelve digits"),
            ("[sqs]\nregion = \"Frankfurt am Main\"", "not a region"),
            ("[sqs.access_keys.AK]\nsecret = \"\"", "needs its secret"),
            ("[sqs.access_keys.AK]\nsecret = \"x\"\nuser = \"ann\"", "no user \"ann\""),
            ("[users.ann]\npassword = \"x\"\n[sqs.access_keys.AK]\nsecret = \"x\"", "say whose key"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
        let good = "[users.ann]\npassword = \"x\"\n[sqs.access_keys.AK]\nsecret = \"x\"\nuser = \"ann\"";
        assert_eq!(read(good).unwrap().access_keys[0].0, "AK");
        assert!(read("[sqs.access_keys.AK]\nsecret = \"x\"").is_ok());
    }
}

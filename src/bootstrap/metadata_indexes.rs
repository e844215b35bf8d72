//! `METADATA_INDEXES`: what it may be, and what it says.

use crate::{config::Settings, domain::MetadataPath};

/// Each of them is written to with every log.
const MOST: usize = 8;

/// # Errors
/// What is wrong with the setting's text.
pub(super) fn check(text: &str) -> Result<(), String> {
    let paths: Vec<&str> = text.split(',').map(str::trim).filter(|path| !path.is_empty()).collect();
    if paths.len() > MOST {
        return Err(format!("must be at most {MOST} paths"));
    }
    for path in paths {
        MetadataPath::parse(path).map_err(|rule| format!("{path:?} {rule}"))?;
    }
    Ok(())
}

pub(super) fn paths(settings: &Settings) -> Vec<MetadataPath> {
    settings.query.metadata_indexes.iter().filter_map(|path| MetadataPath::parse(path).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_path_is_named() {
        for good in ["", "a", "device.os, plan ,", "a,b,c,d,e,f,g,h"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, part) in [("a,b..c", "\"b..c\""), ("$a", "begins with $"), ("a,b,c,d,e,f,g,h,i", "at most 8")] {
            assert!(check(bad).unwrap_err().contains(part), "{bad}");
        }
    }
}

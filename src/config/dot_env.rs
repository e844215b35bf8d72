//! Reading `.env` by the rules of Node's dotenv, which the old service's files were written for: nothing is
//! substituted, blanks are allowed, `#` after a blank begins a comment, quotes keep everything.

use std::{collections::BTreeMap, fs, io, path::Path};

/// The file's entries; none where there is no file.
///
/// # Errors
/// Names the line that cannot be read, never its value.
pub(super) fn read(file: &Path) -> Result<BTreeMap<String, String>, String> {
    match fs::read_to_string(file) {
        Ok(text) => parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        Err(error) => Err(format!(".env cannot be read: {error}")),
    }
}

fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut entries = BTreeMap::new();
    for (line, number) in text.trim_start_matches('\u{feff}').lines().zip(1..) {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let unreadable = || format!(".env: line {number} is no NAME=value");
        let (name, value) = line.split_once('=').ok_or_else(unreadable)?;
        let name = name.trim();
        let legal = |char: char| char.is_ascii_alphanumeric() || "_.-".contains(char);
        if name.is_empty() || !name.chars().all(legal) {
            return Err(unreadable());
        }
        let value = value_of(value.trim()).ok_or_else(|| format!(".env: line {number} has an open quote"))?;
        entries.insert(name.to_owned(), value);
    }
    Ok(entries)
}

/// `None` where a quote is not closed on its line.
fn value_of(text: &str) -> Option<String> {
    let Some(quote) = text.chars().next().filter(|char| "\"'`".contains(*char)) else {
        let end =
            text.char_indices().find(|(at, char)| *char == '#' && (*at == 0 || text[..*at].ends_with([' ', '\t'])));
        return Some(text[..end.map_or(text.len(), |(at, _)| at)].trim_end().to_owned());
    };
    let inner = &text[1..];
    let value = &inner[..inner.rfind(quote)?];
    Some(if quote == '"' { value.replace("\\n", "\n").replace("\\r", "\r") } else { value.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> String {
        parse(line).unwrap().into_values().next().unwrap()
    }

    #[test]
    fn values_are_what_nodes_dotenv_reads() {
        for (line, value) in [
            ("A=b", "b"),
            ("A=", ""),
            (" export A = b c ", "b c"),
            ("A=it$1\\n", "it$1\\n"),
            ("A=mongodb://u:p$x#y@h/?a=b", "mongodb://u:p$x#y@h/?a=b"),
            ("A=b # comment", "b"),
            ("A='b # c'", "b # c"),
            ("A=\"b # c\" # comment", "b # c"),
            ("A=\"two\\nlines\"", "two\nlines"),
            ("A='$HOME \\n'", "$HOME \\n"),
            ("\u{feff}A=b\r\n", "b"),
        ] {
            assert_eq!(one(line), value, "{line}");
        }
        assert_eq!(parse("# a\n\nA=1\nA=2\n").unwrap()["A"], "2");
    }

    #[test]
    fn what_cannot_be_read_is_named_by_its_line_alone() {
        for text in ["A=1\nhunter2", "A=1\n=hunter2", "A=1\nA B=hunter2", "A=1\nA=\"hunter2"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
        }
    }
}

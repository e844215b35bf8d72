//! The rules of the source tree that no compiler checks: who may import whom, what every file begins with, and that
//! the lists in the documents are those of the code.
#![expect(clippy::unwrap_used, reason = "a tree that cannot be read has to fail the test")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

use syn::visit::{self, Visit};

/// For each room: the rooms of this crate it may import from besides itself.
const ROOMS: &[(&str, &[&str])] = &[
    ("main", &["commands"]),
    ("commands", &["bench", "bootstrap", "config", "domain", "lifecycle", "telemetry"]),
    // Knows the service as its clients do.
    ("bench", &["config"]),
    ("bootstrap", &["api", "application", "config", "domain", "infrastructure", "lifecycle", "telemetry"]),
    ("lifecycle", &[]),
    ("telemetry", &["config"]),
    ("config", &[]),
    ("domain", &[]),
    ("application", &["domain"]),
    ("api", &["application", "domain"]),
    ("infrastructure", &["domain"]),
];

/// Crates that belong to some places only.
const CRATES: &[(&str, &[&str])] = &[
    ("axum", &["api"]),
    ("hyper", &["api"]),
    ("hyper_util", &["api"]),
    ("tower", &["api"]),
    ("tower_http", &["api"]),
    ("utoipa", &["api"]),
    ("rdkafka", &["infrastructure/kafka"]),
    ("mongodb", &["infrastructure/mongo"]),
    ("bson", &["infrastructure/mongo"]),
    ("rusqlite", &["infrastructure/embedded"]),
    ("clap", &["config"]),
    ("csv", &["application/transfer"]),
    ("jiff", &["application", "domain", "infrastructure"]),
    ("indicatif", &["commands"]),
    ("metrics", &["api", "application", "telemetry"]),
    ("metrics_exporter_prometheus", &["telemetry"]),
    ("tracing_subscriber", &["telemetry"]),
    ("hdrhistogram", &["bench"]),
    ("httparse", &["bench"]),
    ("rustix", &["bench", "infrastructure/embedded"]),
    ("tempfile", &["bench"]),
    ("tokio", &["api", "application", "bench", "bootstrap", "commands", "infrastructure", "lifecycle"]),
];

/// Where serde's derives may stand: what goes over a wire.
const SERDE_DERIVES: &[&str] =
    &["api/dto", "api/handlers", "bench/page", "infrastructure/wire", "infrastructure/mongo"];

const MAX_LINES: usize = 500;

fn sources() -> Vec<(String, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).unwrap().with_extension("").to_str().unwrap().replace('\\', "/");
                files.push((name.trim_end_matches("/mod").to_owned(), path));
            }
        }
    }
    files.sort();
    files
}

fn room(file: &str) -> &str {
    file.split('/').next().unwrap_or(file)
}

/// Every path a file names, as segments: `crate::domain::LogId`, `tokio::sync::watch`.
#[derive(Default)]
struct Paths(BTreeSet<Vec<String>>);

impl<'ast> Visit<'ast> for Paths {
    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let mut prefix = Vec::new();
        self.tree(&item.tree, &mut prefix);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.0.insert(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        visit::visit_path(self, path);
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        // Tests may use what they like.
        if !module.attrs.iter().any(|attribute| attribute.path().is_ident("cfg")) {
            visit::visit_item_mod(self, module);
        }
    }
}

impl Paths {
    fn of(source: &str) -> Self {
        let mut paths = Self::default();
        paths.visit_file(&syn::parse_file(source).unwrap());
        paths
    }

    fn tree(&mut self, tree: &syn::UseTree, prefix: &mut Vec<String>) {
        match tree {
            syn::UseTree::Path(path) => {
                prefix.push(path.ident.to_string());
                self.tree(&path.tree, prefix);
                prefix.pop();
            }
            syn::UseTree::Group(group) => group.items.iter().for_each(|tree| self.tree(tree, prefix)),
            syn::UseTree::Name(name) => self.leaf(prefix, name.ident.to_string()),
            syn::UseTree::Rename(rename) => self.leaf(prefix, rename.ident.to_string()),
            syn::UseTree::Glob(_) => self.leaf(prefix, "*".to_owned()),
        }
    }

    fn leaf(&mut self, prefix: &[String], last: String) {
        let mut path = prefix.to_vec();
        path.push(last);
        self.0.insert(path);
    }
}

/// What is wrong with a file's imports.
fn import_faults(file: &str, source: &str) -> Vec<String> {
    let own = room(file);
    if own == "lib" {
        return Vec::new();
    }
    let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == own) else {
        return vec![format!("{file}: the room {own} is not in the table")];
    };
    let mut faults = Vec::new();
    for path in Paths::of(source).0 {
        if let [root, target, ..] = path.as_slice()
            && (root == "crate" || root == "eyego")
            && target != own
            && ROOMS.iter().any(|(name, _)| name == target)
            && !allowed.contains(&target.as_str())
        {
            faults.push(format!("{file}: {} (the room {own} may not import {target})", path.join("::")));
        }
        if let Some((name, places)) = CRATES.iter().find(|(name, _)| path.len() > 1 && path[0] == *name)
            && !places.iter().any(|place| file.starts_with(place))
        {
            faults.push(format!("{file}: {} ({name} belongs to {places:?})", path.join("::")));
        }
    }
    faults
}

#[test]
fn imports_follow_the_table() {
    let faults: Vec<String> =
        sources().iter().flat_map(|(file, path)| import_faults(file, &fs::read_to_string(path).unwrap())).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_import_check_finds_what_it_is_there_for() {
    for (file, source) in [
        ("domain/log", "use crate::api::router;"),
        ("application/x", "use crate::{domain::LogId, infrastructure::{wire, clock}};"),
        ("api/x", "fn f() { crate::infrastructure::clock::now() }"),
        ("domain/x", "use axum::Json;"),
        ("infrastructure/mongo/x", "fn f(c: &rdkafka::ClientConfig) {}"),
        ("attic/x", ""),
    ] {
        assert_eq!(import_faults(file, source).len().min(1), 1, "{file}: {source}");
    }
    for (file, source) in [
        ("application/x", "use crate::domain::LogId; use crate::application::y;"),
        ("domain/x", "#[cfg(test)] mod tests { use crate::infrastructure::wire; }"),
        ("infrastructure/kafka/x", "use rdkafka::ClientConfig;"),
    ] {
        assert_eq!(import_faults(file, source), Vec::<String>::new(), "{file}: {source}");
    }
}

#[test]
fn every_file_begins_by_saying_what_it_owns() {
    for (file, path) in sources() {
        let source = fs::read_to_string(path).unwrap();
        assert!(source.starts_with("//! "), "{file} does not begin with //!");
    }
}

#[test]
fn files_stay_small() {
    for (file, path) in sources() {
        let lines = fs::read_to_string(path).unwrap().lines().count();
        assert!(lines <= MAX_LINES, "{file} has {lines} lines");
    }
}

#[test]
fn serde_derives_stand_only_at_the_edges() {
    for (file, path) in sources() {
        let source = fs::read_to_string(path).unwrap();
        let derives = source.lines().any(|line| {
            line.trim_start().starts_with("#[derive(") && (line.contains("Serialize") || line.contains("Deserialize"))
        });
        assert!(!derives || SERDE_DERIVES.iter().any(|place| file.starts_with(place)), "{file} derives serde");
    }
}

/// Names a setting as a word of its own.
fn names(text: &str, setting: &str) -> bool {
    text.match_indices(setting).any(|(at, _)| {
        let around = [text[..at].chars().next_back(), text[at + setting.len()..].chars().next()];
        around.iter().flatten().all(|c| !(c.is_ascii_uppercase() || *c == '_' || c.is_ascii_digit()))
    })
}

#[test]
fn every_setting_is_in_the_example_and_in_the_readme() {
    for file in [".env.example", "README.md"] {
        let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
        for setting in eyego::config::CATALOG {
            assert!(names(&text, setting.name), "{file} does not name {}", setting.name);
        }
    }
}

#[test]
fn every_error_code_is_in_the_list_with_its_status_and_no_other_is() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/ERRORS.md")).unwrap();
    let rows: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(word, rest)| (word, rest.split(' ').next().unwrap_or_default()))
        .collect();
    for code in eyego::api::ErrorCode::ALL {
        let status = code.status().as_u16().to_string();
        assert!(rows.contains(&(code.word(), status.as_str())), "{} {status} is not in docs/ERRORS.md", code.word());
    }
    assert_eq!(rows.len(), eyego::api::ErrorCode::ALL.len(), "docs/ERRORS.md lists codes that do not exist");
}

#[test]
fn every_metric_is_described_and_listed() {
    let list = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/METRICS.md")).unwrap();
    let described: BTreeSet<&str> = eyego::telemetry::CATALOG.iter().map(|(name, _)| *name).collect();
    for name in &described {
        assert!(list.contains(&format!("| `{name}` |")), "docs/METRICS.md does not list {name}");
    }
    for (file, path) in sources() {
        let source = fs::read_to_string(path).unwrap();
        for name in
            source.split('"').filter(|text| text.starts_with("eyego_") && !text.ends_with('_') && !text.contains(' '))
        {
            assert!(described.contains(name), "{file} measures {name}, which telemetry does not describe");
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the test may ask for a new document")]
#[test]
fn the_committed_openapi_document_is_that_of_the_code() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi.json");
    let made = eyego::api::openapi_document().to_pretty_json().unwrap() + "\n";
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        fs::write(&file, &made).unwrap();
    }
    let committed = fs::read_to_string(&file).unwrap_or_default();
    assert!(committed == made, "openapi.json has drifted: UPDATE_OPENAPI=1 cargo test --test tidy");
}

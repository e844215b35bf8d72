//! Where the database is and how it is to be used, checked without any network I/O.

use std::{fmt, time::Duration};

use mongodb::{error::ErrorKind, options::ConnectionString};

use crate::domain::MetadataPath;

/// The old service's database, used where the URI names none.
const DEFAULT_DATABASE: &str = "eyeGoDB";
const MAX_DATABASE_BYTES: usize = 63;
/// Longer than any write may be on its way.
const COUNT_LEASE: Duration = Duration::from_secs(120);

/// Which MongoDB, and how long deletions are remembered.
#[derive(Clone)]
pub struct MongoOptions {
    pub(super) uri: ConnectionString,
    pub(super) database: String,
    pub(super) tombstone_days: u32,
    pub(super) count_lease: Duration,
    pub(super) metadata_indexes: Option<Vec<MetadataPath>>,
}

/// Why a URI is none. The text never holds any part of the user name or password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidMongoUri(String);

impl MongoOptions {
    /// Checks the URI. Tombstones of deleted logs are kept for `tombstone_days`, 0 is for ever.
    pub fn parse(uri: &str, tombstone_days: u32) -> Result<Self, InvalidMongoUri> {
        let uri = ConnectionString::parse(uri).map_err(|_| explain(uri))?;
        let database = uri.default_database.clone().unwrap_or_else(|| DEFAULT_DATABASE.to_owned());
        // The driver lets these through; the server would refuse every command.
        if database.contains('.') || database.len() > MAX_DATABASE_BYTES {
            return Err(InvalidMongoUri("the database name must have no dot and at most 63 bytes".to_owned()));
        }
        Ok(Self { uri, database, tombstone_days, count_lease: COUNT_LEASE, metadata_indexes: None })
    }

    /// After how long what a process had open is recounted, where the process does not say any more that it lives.
    #[must_use]
    pub fn with_count_lease(self, lease: Duration) -> Self {
        Self { count_lease: lease, ..self }
    }

    /// The paths of metadata that are to have an index, and no others. Where nothing is said, what is there stays.
    #[must_use]
    pub fn with_metadata_indexes(self, paths: Vec<MetadataPath>) -> Self {
        Self { metadata_indexes: Some(paths), ..self }
    }

    pub fn database(&self) -> &str {
        &self.database
    }
}

impl fmt::Debug for MongoOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MongoOptions")
            .field("uri", &"<redacted>")
            .field("database", &self.database)
            .field("tombstone_days", &self.tombstone_days)
            .finish()
    }
}

/// The driver quotes what it cannot read, and with an unescaped `/` or `:` that is a piece of the password. So its
/// words are taken from a second try, on the URI without user name and password.
fn explain(uri: &str) -> InvalidMongoUri {
    let bare = match (uri.split_once("://"), uri.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://{rest}"),
        _ => uri.to_owned(),
    };
    InvalidMongoUri(match ConnectionString::parse(bare) {
        Ok(_) => "user name and password must be percent-encoded".to_owned(),
        Err(error) => match *error.kind {
            ErrorKind::InvalidArgument { message, .. } => message,
            kind => kind.to_string(),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(uri: &str) -> String {
        MongoOptions::parse(uri, 0).unwrap_err().to_string()
    }

    #[test]
    fn the_database_comes_from_the_uri() {
        let database = |uri| MongoOptions::parse(uri, 0).unwrap().database().to_owned();
        assert_eq!(database("mongodb://localhost:27017"), "eyeGoDB");
        assert_eq!(database("mongodb://localhost:27017/?replicaSet=rs0"), "eyeGoDB");
        assert_eq!(database("mongodb://u:p@a,b,c/logs?replicaSet=rs0&authSource=admin"), "logs");
        assert_eq!(database("mongodb+srv://u:p@cluster.example.com/logs"), "logs");
    }

    #[test]
    fn a_bad_uri_says_what_is_wrong() {
        for (uri, part) in [
            ("", "scheme"),
            ("localhost:27017", "scheme"),
            ("http://localhost", "scheme"),
            ("mongodb://", "host"),
            ("mongodb://localhost:port", "port"),
            ("mongodb://localhost/a.b", "database name"),
            ("mongodb://localhost/a%20b", "database name"),
            ("mongodb://localhost/?maxPoolSize=x", "maxpoolsize"),
        ] {
            let problem = problem(uri);
            assert!(problem.to_lowercase().contains(part), "{uri}: {problem}");
        }
    }

    #[test]
    fn no_text_holds_the_password() {
        for uri in ["mongodb://me:hunter/2@localhost", "mongodb://me:hun%ter2@localhost", "mongodb://me:hunter@2:x@a"] {
            let problem = problem(uri);
            assert!(!problem.contains("hun") && !problem.contains("me:"), "{problem}");
            assert!(problem.contains("percent-encoded") || problem.contains("port"), "{problem}");
        }
        let options = MongoOptions::parse("mongodb://me:hunter2@localhost", 0).unwrap();
        assert!(!format!("{options:?}").contains("hunter2"));
    }
}

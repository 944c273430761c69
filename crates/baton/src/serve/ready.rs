//! The ready file: pid and endpoints, for tests and supervisors. There is never half of one, and none after a clean end.

use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// A ready file that exists as long as this value.
#[derive(Debug)]
pub(crate) struct ReadyFile(PathBuf);

impl ReadyFile {
    /// Writes the file: next to its place first, then renamed, so that whoever sees it sees all of it.
    ///
    /// # Errors
    /// A sentence that names the file.
    pub(crate) fn write(path: &Path, endpoints: &[(&'static str, SocketAddr)]) -> Result<Self, String> {
        let mut text = format!("{{\"pid\":{}", std::process::id());
        for (name, address) in endpoints {
            text.push_str(&format!(",\"{name}\":\"{address}\""));
        }
        text.push_str("}\n");
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".{}.tmp", std::process::id()));
        let temporary = path.with_file_name(name);
        let written = std::fs::File::create(&temporary)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .and_then(|()| std::fs::rename(&temporary, path));
        match written {
            Ok(()) => Ok(Self(path.to_owned())),
            Err(error) => {
                let _ = std::fs::remove_file(&temporary);
                Err(format!("cannot write the ready file {}: {error}", path.display()))
            }
        }
    }
}

impl Drop for ReadyFile {
    fn drop(&mut self) {
        // Removing it twice, or finding it gone, is no harm.
        let _ = std::fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_whole_and_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ready.json");
        let ready = ReadyFile::write(&path, &[("amqp", "127.0.0.1:1".parse().unwrap())]).unwrap();
        let json: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(json["amqp"], "127.0.0.1:1");
        assert_eq!(json["pid"], std::process::id());
        drop(ready);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let error = ReadyFile::write(&dir.path().join("no/ready.json"), &[]).unwrap_err();
        assert!(error.contains("no/ready.json"), "{error}");
    }
}

//! Where the repository is and what is in it: root, files, the packages that cargo sees.
//!
//! No checks and no suites here; both ask this file.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// The cargo that started us, or the one on the path.
pub(crate) fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// A checkout of Baton.
pub(crate) struct Repo {
    root: PathBuf,
}

/// One text file of the tree: its path from the root with `/`, and what it says.
pub(crate) struct SourceFile {
    pub path: String,
    pub text: String,
}

/// One package of the workspace, as `cargo metadata` tells it.
pub(crate) struct Package {
    pub name: String,
    /// From the root, with `/`: `crates/model/Cargo.toml`.
    pub manifest: String,
    pub dependencies: Vec<Dependency>,
}

/// One normal dependency (not for tests, not for build scripts).
pub(crate) struct Dependency {
    pub name: String,
    /// It lives in this repository.
    pub ours: bool,
}

/// What cargo knows of the workspace.
pub(crate) struct Metadata {
    pub packages: Vec<Package>,
    pub target_directory: PathBuf,
}

impl Repo {
    /// Looks upwards from the current directory, then from where this tool was built.
    pub(crate) fn find() -> Result<Repo, String> {
        let here = std::env::current_dir().map_err(|e| format!("no current directory: {e}"))?;
        let built = Path::new(env!("CARGO_MANIFEST_DIR"));
        here.ancestors()
            .chain(built.ancestors())
            .find(|dir| dir.join("xtask/Cargo.toml").exists() && dir.join("Cargo.toml").exists())
            .map(|dir| Repo { root: dir.to_path_buf() })
            .ok_or_else(|| "run me inside a checkout of Baton".into())
    }

    #[cfg(test)]
    pub(crate) fn at(root: &Path) -> Repo {
        Repo { root: root.to_path_buf() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, from_root: &str) -> PathBuf {
        self.root.join(from_root)
    }

    /// Tracked files and new ones that git does not ignore, sorted; outside a git checkout, all but build output.
    pub(crate) fn files(&self) -> Result<Vec<String>, String> {
        let listed = Command::new("git")
            .current_dir(&self.root)
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .stderr(Stdio::null())
            .output();
        let mut files = BTreeSet::new();
        match listed {
            Ok(output) if output.status.success() => {
                let names = String::from_utf8_lossy(&output.stdout).into_owned();
                files.extend(names.split('\0').filter(|name| !name.is_empty()).map(str::to_owned));
            }
            _ => walk(&self.root, "", &mut files)?,
        }
        // Listed by git but deleted from the tree, or a link to a directory.
        files.retain(|name| self.path(name).is_file());
        Ok(files.into_iter().collect())
    }

    /// Reads `paths`, leaving out what is not UTF-8 text.
    pub(crate) fn read_text<'a>(
        &self,
        paths: impl IntoIterator<Item = &'a String>,
    ) -> Result<Vec<SourceFile>, String> {
        let mut read = Vec::new();
        for path in paths {
            let bytes = std::fs::read(self.path(path)).map_err(|e| format!("cannot read {path}: {e}"))?;
            if let Ok(text) = String::from_utf8(bytes)
                && !text.contains('\0')
            {
                read.push(SourceFile { path: path.clone(), text });
            }
        }
        Ok(read)
    }

    pub(crate) fn metadata(&self) -> Result<Metadata, String> {
        let output = Command::new(cargo())
            .current_dir(&self.root)
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| format!("cannot start cargo: {e}"))?;
        if !output.status.success() {
            return Err("`cargo metadata` failed: mend the Cargo.toml that it names".into());
        }
        let json: Value =
            serde_json::from_slice(&output.stdout).map_err(|e| format!("cargo metadata is no JSON: {e}"))?;
        Ok(self.metadata_from(&json))
    }

    fn metadata_from(&self, json: &Value) -> Metadata {
        let text =
            |of: &Value, name: &str| of.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let list =
            |of: &Value, name: &str| of.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
        let mut packages = Vec::new();
        for package in list(json, "packages") {
            let manifest = PathBuf::from(text(&package, "manifest_path"));
            let manifest = manifest.strip_prefix(&self.root).unwrap_or(&manifest);
            let dependencies = list(&package, "dependencies")
                .iter()
                .filter(|dependency| dependency.get("kind").is_none_or(Value::is_null))
                .map(|dependency| Dependency {
                    name: text(dependency, "name"),
                    ours: dependency.get("path").is_some_and(Value::is_string),
                })
                .collect();
            packages.push(Package {
                name: text(&package, "name"),
                manifest: manifest.to_string_lossy().replace('\\', "/"),
                dependencies,
            });
        }
        packages.sort_by(|a, b| a.name.cmp(&b.name));
        Metadata { packages, target_directory: PathBuf::from(text(json, "target_directory")) }
    }
}

impl Metadata {
    pub(crate) fn has_package(&self, name: &str) -> bool {
        self.packages.iter().any(|package| package.name == name)
    }
}

fn walk(root: &Path, below: &str, files: &mut BTreeSet<String>) -> Result<(), String> {
    let dir = root.join(below);
    let entries = std::fs::read_dir(&dir).map_err(|e| format!("cannot list {}: {e}", dir.display()))?;
    for entry in entries {
        let entry = entry.map_err(|e| format!("cannot list {}: {e}", dir.display()))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if matches!(
            name.as_str(),
            "target" | ".cache" | ".git" | "node_modules" | "baton-data" | "__pycache__"
        ) {
            continue;
        }
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        if entry.path().is_dir() {
            walk(root, &path, files)?;
        } else {
            files.insert(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_keeps_normal_dependencies_and_relative_manifests() {
        let json = serde_json::json!({
            "target_directory": "/t",
            "packages": [{
                "name": "baton-core",
                "manifest_path": "/r/crates/core/Cargo.toml",
                "dependencies": [
                    {"name": "baton-model", "kind": null, "path": "/r/crates/model"},
                    {"name": "proptest", "kind": "dev", "path": null},
                    {"name": "bytes", "kind": null},
                ],
            }],
        });
        let metadata = Repo::at(Path::new("/r")).metadata_from(&json);
        assert!(metadata.has_package("baton-core"));
        assert_eq!(metadata.target_directory, Path::new("/t"));
        let core = &metadata.packages[0];
        assert_eq!(core.manifest, "crates/core/Cargo.toml");
        let dependencies: Vec<_> = core.dependencies.iter().map(|d| (d.name.as_str(), d.ours)).collect();
        assert_eq!(dependencies, [("baton-model", true), ("bytes", false)]);
    }
}

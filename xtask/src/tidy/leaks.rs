//! Nothing of the machine that a change was written on: no home folders, no private package registries.

use std::path::Path;

use super::Finding;
use crate::repo::{Repo, SourceFile};

/// Folders that hold people's homes; a name must follow. Written in pieces, since this file is checked too.
const HOMES: &[&str] = &["home", "Users"];
const ROOT_HOME: &str = "root";
/// A checkout right below one of these says nothing about the machine.
const COMMON_PARENTS: &[&str] =
    &["/", "/tmp", "/mnt", "/srv", "/opt", "/usr", "/var", "/var/tmp", "/usr/src", "/src"];
/// Where packages come from for everybody.
const PUBLIC_REGISTRIES: &[&str] = &[
    "registry.npmjs.org",
    "pypi.org",
    "files.pythonhosted.org",
    "crates.io",
    "index.crates.io",
    "static.crates.io",
    "github.com",
    "proxy.golang.org",
    "localhost",
    "127.0.0.1",
];
/// Where package managers are told of another registry. Only the host is read.
const SETTINGS: &[&str] = &[
    ".cargo/config.toml",
    ".cargo/config",
    ".config/pip/pip.conf",
    ".pip/pip.conf",
    ".npmrc",
    ".config/uv/uv.toml",
];
const VARIABLES: &[&str] = &[
    "PIP_INDEX_URL",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "UV_INDEX_URL",
    "NPM_CONFIG_REGISTRY",
    "npm_config_registry",
    "GOPROXY",
];

/// What this machine is known by.
pub(super) struct Machine {
    /// The folder of the checkout with `/` at its end, when it is telling.
    folder: Option<String>,
    registries: Vec<String>,
}

pub(super) fn of_this_machine(repo: &Repo) -> Machine {
    let mut registries = Vec::new();
    let home = std::env::var_os("HOME").unwrap_or_default();
    let files =
        SETTINGS.iter().map(|file| Path::new(&home).join(file)).chain([Path::new("/etc/pip.conf").into()]);
    for text in files.filter_map(|file| std::fs::read_to_string(file).ok()) {
        hosts(&text, &mut registries);
    }
    for value in VARIABLES.iter().filter_map(|name| std::env::var(name).ok()) {
        hosts(&value, &mut registries);
    }
    registries.retain(|host| !PUBLIC_REGISTRIES.contains(&host.as_str()));
    registries.sort();
    registries.dedup();
    let folder = repo.root().parent().map(|parent| parent.to_string_lossy().into_owned());
    let folder = folder.filter(|f| !COMMON_PARENTS.contains(&f.as_str())).map(|f| format!("{f}/"));
    Machine { folder, registries }
}

/// The hosts of all URLs in `text`, without user and port.
fn hosts(text: &str, found: &mut Vec<String>) {
    for url in text.split("://").skip(1) {
        let authority =
            url.split(|c: char| c == '/' || c.is_whitespace() || matches!(c, '"' | '\'' | ',' | '#')).next();
        let host = authority.unwrap_or_default().rsplit('@').next().unwrap_or_default();
        let host = host.split(':').next().unwrap_or_default();
        if host.contains('.') {
            found.push(host.to_owned());
        }
    }
}

pub(super) fn check(files: &[SourceFile], machine: &Machine) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        for (line, text) in (1..).zip(file.text.lines()) {
            if let Some(what) = machine_path(text, machine) {
                findings.push(Finding::new(
                    &file.path,
                    line,
                    what,
                    "write it relative to the repository, or as a variable",
                ));
            }
            if let Some(host) = registry(&file.path, text, machine) {
                findings.push(Finding::new(
                    &file.path,
                    line,
                    format!("the package registry `{host}`"),
                    "leave the choice of registry to each machine's own settings",
                ));
            }
        }
    }
    findings
}

fn machine_path(text: &str, machine: &Machine) -> Option<String> {
    let mut folders: Vec<String> = HOMES.iter().map(|home| format!("/{home}/")).collect();
    folders.push(format!("/{ROOT_HOME}/"));
    folders.extend(machine.folder.clone());
    folders.iter().find_map(|folder| {
        let (at, _) = text.match_indices(folder.as_str()).find(|(at, _)| {
            let before = text.get(..*at).and_then(|t| t.chars().next_back());
            let after = text.get(at + folder.len()..).and_then(|t| t.chars().next());
            !before.is_some_and(|c| is_name(c) || matches!(c, '~' | '}' | '>' | ')'))
                && after.is_some_and(is_name)
        })?;
        let path = text.get(at..)?;
        let end = path.find(|c: char| !is_name(c) && c != '/').unwrap_or(path.len());
        Some(format!("the path `{}` of some machine", path.get(..end)?))
    })
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

fn registry(path: &str, text: &str, machine: &Machine) -> Option<String> {
    let mut named = Vec::new();
    if text.contains("://") {
        hosts(text, &mut named);
    }
    let private = |host: &String| !PUBLIC_REGISTRIES.contains(&host.as_str());
    if path.ends_with("package-lock.json") && text.trim_start().starts_with("\"resolved\"") {
        return named.into_iter().find(private);
    }
    if ["index-url", "find-links", "registry=", "registry ="].iter().any(|setting| text.contains(setting)) {
        return named.into_iter().find(private);
    }
    machine.registries.iter().find(|host| text.contains(host.as_str())).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        let machine =
            Machine { folder: Some("/builds/team/".into()), registries: vec!["mirror.corp.example".into()] };
        let file = SourceFile { path: path.into(), text: text.into() };
        check(&[file], &machine).into_iter().map(|f| format!("{}: {}", f.line, f.what)).collect()
    }

    #[test]
    fn paths_of_a_machine_are_found() {
        for path in
            [format!("/{}/alice/x", "home"), format!("/{}/.cargo", "root"), format!("/{}/Bob", "Users")]
        {
            assert_eq!(
                found("a.md", &format!("ok\nsee {path}!\n")),
                [format!("2: the path `{path}` of some machine")]
            );
        }
        assert_eq!(
            found("a.toml", "p = \"/builds/team/baton\"\n"),
            ["1: the path `/builds/team/baton` of some machine"]
        );
    }

    #[test]
    fn what_only_looks_like_one_is_fine() {
        let text =
            format!("docs/{0}/x  ~/{0}/y /{0}/ /builds/teams/ example/builds/team/x ${{D}}/{0}/z\n", "home");
        assert_eq!(found("a.md", &text), Vec::<String>::new());
    }

    #[test]
    fn private_registries_are_found() {
        assert_eq!(
            found("a.txt", "get mirror.corp.example/simple\n"),
            ["1: the package registry `mirror.corp.example`"]
        );
        let other = format!("--index-url https://u:p@{}:8443/simple\n", "pkg.example.net");
        assert_eq!(found("requirements.txt", &other), ["1: the package registry `pkg.example.net`"]);
        let lock = "  \"resolved\": \"https://npm.example.net/a.tgz\",\n";
        assert_eq!(found("x/package-lock.json", lock), ["1: the package registry `npm.example.net`"]);
        let public = "  \"resolved\": \"https://registry.npmjs.org/a.tgz\",\n";
        assert_eq!(found("x/package-lock.json", public), Vec::<String>::new());
        assert_eq!(found("a.md", "see https://www.example.net/spec\n"), Vec::<String>::new());
    }
}

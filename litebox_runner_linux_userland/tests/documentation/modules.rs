//! Which file of a crate uses which: read from the paths in the sources, so that circles can be counted.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

/// A module by its names from the crate's root, which has none.
type Module = Vec<String>;

/// What one source says.
#[derive(Default)]
struct Source {
    /// Paths in its code and its imports.
    paths: BTreeSet<Vec<String>>,
    /// Paths that it hands on under their last name.
    exports: Vec<Vec<String>>,
}

/// The files of a crate and what each uses.
pub struct Modules {
    sources: BTreeMap<Module, Source>,
}

/// Identifiers and signs of code; comments, and what strings hold, mean nothing here.
fn tokens(source: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for line in source.lines().take_while(|line| !line.starts_with("mod tests {")) {
        let line = line.split("//").next().unwrap_or_default();
        let mut in_string = false;
        let mut word = String::new();
        for letter in line.chars().chain([' ']) {
            if letter.is_ascii_alphanumeric() || letter == '_' {
                word.push(letter);
                continue;
            }
            if !word.is_empty() && !in_string {
                found.push(std::mem::take(&mut word));
            }
            word.clear();
            in_string ^= letter == '"';
            if !in_string && !letter.is_whitespace() {
                found.push(letter.to_string());
            }
        }
    }
    found
}

/// The paths of a `use` tree, from behind `use` up to its semicolon.
fn tree(tokens: &[String], at: &mut usize, prefix: &[String], into: &mut Vec<Vec<String>>) {
    let mut path = prefix.to_vec();
    let mut grouped = false;
    while let Some(token) = tokens.get(*at) {
        match token.as_str() {
            "{" => {
                grouped = true;
                loop {
                    *at += 1;
                    tree(tokens, at, &path, into);
                    if tokens.get(*at).is_none_or(|token| token != ",") {
                        break;
                    }
                }
                *at += 1;
            }
            "," | "}" | ";" => break,
            "as" => *at += 2,
            ":" | "*" => *at += 1,
            name => {
                path.push(name.to_owned());
                *at += 1;
            }
        }
    }
    if !grouped && path.len() > prefix.len() {
        into.push(path);
    }
}

fn is_name(token: &str) -> bool {
    token.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '_')
}

fn read(source: &str) -> Source {
    let tokens = tokens(source);
    let mut read = Source::default();
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at] == "use" {
            let exported = at > 0 && (tokens[at - 1] == "pub" || tokens[at - 1] == ")");
            let mut paths = Vec::new();
            at += 1;
            tree(&tokens, &mut at, &[], &mut paths);
            if exported {
                read.exports.extend(paths);
            } else {
                read.paths.extend(paths);
            }
        } else if is_name(&tokens[at]) {
            // `pub(in a::b)` says who may use it, and uses nothing.
            let names_nothing = at > 0 && tokens[at - 1] == "in" && at > 1 && tokens[at - 2] == "(";
            let mut path = vec![tokens[at].clone()];
            at += 1;
            while at + 2 < tokens.len() && tokens[at] == ":" && tokens[at + 1] == ":" && is_name(&tokens[at + 2]) {
                path.push(tokens[at + 2].clone());
                at += 3;
            }
            if path.len() > 1 && !names_nothing {
                read.paths.insert(path);
            }
        } else {
            at += 1;
        }
    }
    read
}

impl Modules {
    /// Reads the sources of a crate, given its `src`. What only tests use is left out.
    pub fn of(src: &Path) -> io::Result<Self> {
        let mut files = Vec::new();
        super::files(src, ".rs", &mut files)?;
        let mut sources = BTreeMap::new();
        for path in files {
            let inner = path.strip_prefix(src).unwrap_or(&path).with_extension("");
            let mut module: Module = inner.iter().map(|name| name.to_string_lossy().into_owned()).collect();
            module.retain(|name| name != "lib" && name != "main");
            if !module.iter().any(|name| name == "tests" || name == "mock") {
                sources.insert(module, read(&fs::read_to_string(&path)?));
            }
        }
        Ok(Self { sources })
    }

    pub fn count(&self) -> usize {
        self.sources.len()
    }

    /// The file that a path in `module` leads to, through what others hand on; `None`: out of the crate.
    fn lead(&self, module: &Module, path: &[String], depth: usize) -> Option<&Module> {
        let mut whole = module.clone();
        let mut rest = path;
        match path.first()?.as_str() {
            "crate" => {
                whole.clear();
                rest = &path[1..];
            }
            "self" => rest = &path[1..],
            "super" => {
                let ups = path.iter().take_while(|name| *name == "super").count();
                whole.truncate(whole.len().saturating_sub(ups));
                rest = &path[ups..];
            }
            first => {
                whole.push(first.to_owned());
                if !self.sources.contains_key(&whole) {
                    return None;
                }
                whole.pop();
            }
        }
        whole.extend_from_slice(rest);
        let known = (0..=whole.len()).rev().find(|&len| self.sources.contains_key(&whole[..len]))?;
        let (found, source) = self.sources.get_key_value(&whole[..known])?;
        let handed_on = whole.get(known).filter(|_| depth < 8).and_then(|name| {
            let mut exports = source.exports.iter().filter(|export| export.last() == Some(name));
            exports.find_map(|export| self.lead(found, &[&export[..], &whole[known + 1..]].concat(), depth + 1))
        });
        handed_on.or(Some(found))
    }

    /// What each file uses.
    pub fn uses(&self) -> BTreeMap<&Module, BTreeSet<&Module>> {
        let of = |(module, source): (&Module, &Source)| {
            source.paths.iter().filter_map(|path| self.lead(module, path, 0)).filter(|led| *led != module).collect()
        };
        self.sources.iter().map(|entry| (entry.0, of(entry))).collect()
    }

    /// The circles: files of which each reaches each of the others. The largest first.
    pub fn circles(&self) -> Vec<Vec<String>> {
        let uses = self.uses();
        let reached: BTreeMap<&Module, BTreeSet<&Module>> = uses
            .keys()
            .map(|&from| {
                let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
                while let Some(module) = open.pop() {
                    open.extend(uses[module].iter().filter(|next| seen.insert(**next)));
                }
                (from, seen)
            })
            .collect();
        let mut circles = BTreeSet::new();
        for (from, seen) in &reached {
            let with: Vec<String> = seen.iter().filter(|to| reached[*to].contains(from)).map(|to| shown(to)).collect();
            if with.len() > 1 {
                circles.insert(with);
            }
        }
        let mut circles: Vec<_> = circles.into_iter().collect();
        circles.sort_by_key(|circle| std::cmp::Reverse(circle.len()));
        circles
    }
}

/// A module as its file is called.
pub fn shown(module: &[String]) -> String {
    if module.is_empty() { "lib".to_owned() } else { module.join("/") }
}

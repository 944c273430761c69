//! Topic patterns: dot-separated words, `*` for exactly one, `#` for any number (AMQP 0-9-1, section 3.1.3.3).
//!
//! A trie, walked with the set of all nodes that the words so far can lead to; each node is in the set once, so that
//! patterns such as `#.a.#.a.#` cost at most words × nodes.

use std::collections::BTreeMap;

use baton_model::Name;
use baton_model::route::Destination;
use smallvec::SmallVec;

/// All patterns of one exchange.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    root: Node,
}

#[derive(Debug, Default)]
struct Node {
    words: BTreeMap<Name, Node>,
    star: Option<Box<Node>>,
    hash: Option<Box<Node>>,
    here: Vec<Destination>,
}

impl Topics {
    pub(crate) fn insert(&mut self, pattern: &str, destination: Destination) {
        let mut node = &mut self.root;
        for word in words(pattern) {
            node = match word {
                "*" => node.star.get_or_insert_default(),
                "#" => node.hash.get_or_insert_default(),
                word => node.words.entry(Name::new(word)).or_default(),
            };
        }
        node.here.push(destination);
    }

    pub(crate) fn remove(&mut self, pattern: &str, destination: &Destination) {
        self.root.remove(&mut words(pattern), destination);
    }

    /// Destinations of the patterns that a key matches.
    pub(crate) fn matching<'t>(&'t self, key: &str, found: &mut SmallVec<[&'t Destination; 8]>) {
        let mut nodes: SmallVec<[(&Node, bool); 8]> = SmallVec::new();
        add(&self.root, false, &mut nodes);
        for word in words(key) {
            let mut next = SmallVec::new();
            for (node, repeats) in nodes {
                if repeats {
                    add(node, true, &mut next);
                }
                if let Some(node) = node.words.get(word) {
                    add(node, false, &mut next);
                }
                if let Some(node) = &node.star {
                    add(node, false, &mut next);
                }
            }
            nodes = next;
        }
        found.extend(nodes.into_iter().flat_map(|(node, _)| &node.here));
    }
}

/// Adds a node and what `#` reaches from it without a word. `repeats`: the node is that of a `#`, which takes further words.
fn add<'t>(node: &'t Node, repeats: bool, nodes: &mut SmallVec<[(&'t Node, bool); 8]>) {
    if nodes.iter().any(|(other, _)| std::ptr::eq(*other, node)) {
        return;
    }
    nodes.push((node, repeats));
    if let Some(hash) = &node.hash {
        add(hash, true, nodes);
    }
}

impl Node {
    fn remove<'w>(&mut self, words: &mut impl Iterator<Item = &'w str>, destination: &Destination) {
        match words.next() {
            None => {
                if let Some(index) = self.here.iter().position(|other| other == destination) {
                    self.here.swap_remove(index);
                }
            }
            Some("*") => remove_below(&mut self.star, words, destination),
            Some("#") => remove_below(&mut self.hash, words, destination),
            Some(word) => {
                if let Some(node) = self.words.get_mut(word) {
                    node.remove(words, destination);
                    if node.is_empty() {
                        self.words.remove(word);
                    }
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.words.is_empty() && self.star.is_none() && self.hash.is_none() && self.here.is_empty()
    }
}

fn remove_below<'w>(
    place: &mut Option<Box<Node>>,
    words: &mut impl Iterator<Item = &'w str>,
    destination: &Destination,
) {
    if let Some(node) = place {
        node.remove(words, destination);
        if node.is_empty() {
            *place = None;
        }
    }
}

/// The words of a key; the empty key has none.
fn words(key: &str) -> impl Iterator<Item = &str> {
    key.split('.').filter(move |_| !key.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(patterns: &[&str], key: &str) -> Vec<String> {
        let mut topics = Topics::default();
        for pattern in patterns {
            topics.insert(pattern, Destination::Queue(Name::new(pattern)));
        }
        let mut found = SmallVec::new();
        topics.matching(key, &mut found);
        let mut names: Vec<String> = found
            .into_iter()
            .map(|destination| match destination {
                Destination::Queue(name) | Destination::Exchange(name) => name.to_string(),
            })
            .collect();
        names.sort();
        names
    }

    #[test]
    fn star_is_one_word_and_hash_any_number() {
        let patterns = ["a.b", "a.*", "a.#", "#", "*.b", "#.b", "a.#.c", "*", "a.b.#", ""];
        assert_eq!(matches(&patterns, "a.b"), ["#", "#.b", "*.b", "a.#", "a.*", "a.b", "a.b.#"]);
        assert_eq!(matches(&patterns, "a.x.y.c"), ["#", "a.#", "a.#.c"]);
        assert_eq!(matches(&patterns, "a"), ["#", "*", "a.#"]);
        assert_eq!(matches(&patterns, ""), ["", "#"]);
        assert_eq!(matches(&["#.a.#.a.#"], "a.x.a"), ["#.a.#.a.#"]);
        assert_eq!(matches(&["#.a.#.a.#"], "a.x.b"), Vec::<String>::new());
    }

    #[test]
    fn removing_the_last_pattern_leaves_nothing() {
        let mut topics = Topics::default();
        let patterns = ["a.*.#", "a.b", "#"];
        patterns.iter().for_each(|p| topics.insert(p, Destination::Queue(Name::new("q"))));
        patterns.iter().for_each(|p| topics.remove(p, &Destination::Queue(Name::new("q"))));
        assert!(topics.root.is_empty());
    }
}

//! The commands that are served, with what `COMMAND INFO` and `COMMAND DOCS` tell about them: arity (the command's name counts;
//! negative: at least), flags, positions of keys. Derived from the command definitions of Valkey (BSD-3-Clause), and from the
//! documentation of Redis for those that are not among them. How they are done is in `commands`.

/// What is known about a command.
#[derive(Debug)]
pub struct Spec {
    /// Which.
    pub command: Command,
    /// Its name, in lower case.
    pub name: &'static str,
    /// How many arguments, the name included; negative: at least so many.
    pub arity: i32,
    /// As `COMMAND INFO` names them.
    pub flags: &'static [&'static str],
    /// First key, last key (negative: from the end), step.
    pub keys: (i32, i32, i32),
    /// As `COMMAND DOCS` names it.
    pub group: &'static str,
    /// The version of Redis that had it first.
    pub since: &'static str,
    /// One sentence.
    pub summary: &'static str,
}

/// The command of that name, in lower case.
#[must_use]
pub fn find(name: &[u8]) -> Option<&'static Spec> {
    TABLE.binary_search_by(|spec| spec.name.as_bytes().cmp(name)).ok().and_then(|at| TABLE.get(at))
}

macro_rules! table {
    ($($name:literal $command:ident $arity:literal [$($flag:literal)*] $keys:expr, $group:literal $since:literal $summary:literal;)*) => {
        /// A command.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[expect(missing_docs, reason = "the variants are the commands they are named after")]
        pub enum Command { $($command),* }

        /// All commands, by their names.
        pub static TABLE: &[Spec] = &[$(Spec {
            command: Command::$command,
            name: $name,
            arity: $arity,
            flags: &[$($flag),*],
            keys: $keys,
            group: $group,
            since: $since,
            summary: $summary,
        }),*];
    };
}

table! {
    "auth" Auth -2 ["noscript" "loading" "stale" "fast" "no_auth" "allow_busy"] (0, 0, 0), "connection" "1.0.0"
        "Authenticates the connection.";
    "blmove" Blmove 6 ["write" "denyoom" "blocking"] (1, 2, 1), "list" "6.2.0"
        "Pops an element from a list, pushes it to another list and returns it. Blocks until an element is available otherwise. Deletes the list if the last element was moved.";
    "blmpop" Blmpop -5 ["write" "blocking"] (0, 0, 0), "list" "7.0.0"
        "Pops the first element from one of multiple lists. Blocks until an element is available otherwise. Deletes the list if the last element was popped.";
    "blpop" Blpop -3 ["write" "blocking"] (1, -2, 1), "list" "2.0.0"
        "Removes and returns the first element in a list. Blocks until an element is available otherwise. Deletes the list if the last element was popped.";
    "brpop" Brpop -3 ["write" "blocking"] (1, -2, 1), "list" "2.0.0"
        "Removes and returns the last element in a list. Blocks until an element is available otherwise. Deletes the list if the last element was popped.";
    "brpoplpush" Brpoplpush 4 ["write" "denyoom" "blocking"] (1, 2, 1), "list" "2.2.0"
        "Pops an element from a list, pushes it to another list and returns it. Block until an element is available otherwise. Deletes the list if the last element was popped.";
    "client" Client -2 [] (0, 0, 0), "connection" "2.4.0"
        "A container for client connection commands.";
    "command" Command -1 ["loading" "stale"] (0, 0, 0), "server" "2.8.13"
        "Returns detailed information about all commands.";
    "config" Config -2 [] (0, 0, 0), "server" "2.0.0"
        "A container for server configuration commands.";
    "dbsize" Dbsize 1 ["readonly" "fast"] (0, 0, 0), "server" "1.0.0"
        "Returns the number of keys in the database.";
    "del" Del -2 ["write"] (1, -1, 1), "generic" "1.0.0"
        "Deletes one or more keys.";
    "discard" Discard 1 ["noscript" "loading" "stale" "fast" "allow_busy"] (0, 0, 0), "transactions" "2.0.0"
        "Discards a transaction.";
    "echo" Echo 2 ["loading" "stale" "fast"] (0, 0, 0), "connection" "1.0.0"
        "Returns the given string.";
    "exec" Exec 1 ["noscript" "loading" "stale" "skip_slowlog"] (0, 0, 0), "transactions" "1.2.0"
        "Executes all commands in a transaction.";
    "exists" Exists -2 ["readonly" "fast"] (1, -1, 1), "generic" "1.0.0"
        "Determines whether one or more keys exist.";
    "expire" Expire -3 ["write" "fast"] (1, 1, 1), "generic" "1.0.0"
        "Sets the expiration time of a key in seconds.";
    "expireat" Expireat -3 ["write" "fast"] (1, 1, 1), "generic" "1.2.0"
        "Sets the expiration time of a key to a Unix timestamp.";
    "expiretime" Expiretime 2 ["readonly" "fast"] (1, 1, 1), "generic" "7.0.0"
        "Returns the expiration time of a key as a Unix timestamp.";
    "flushall" Flushall -1 ["write"] (0, 0, 0), "server" "1.0.0"
        "Removes all keys from all databases.";
    "flushdb" Flushdb -1 ["write"] (0, 0, 0), "server" "1.0.0"
        "Remove all keys from the current database.";
    "hello" Hello -1 ["noscript" "loading" "stale" "fast" "no_auth" "allow_busy"] (0, 0, 0), "connection" "6.0.0"
        "Handshakes with the server.";
    "info" Info -1 ["loading" "stale"] (0, 0, 0), "server" "1.0.0"
        "Returns information and statistics about the server.";
    "keys" Keys 2 ["readonly"] (0, 0, 0), "generic" "1.0.0"
        "Returns all key names that match a pattern.";
    "lindex" Lindex 3 ["readonly"] (1, 1, 1), "list" "1.0.0"
        "Returns an element from a list by its index.";
    "linsert" Linsert 5 ["write" "denyoom"] (1, 1, 1), "list" "2.2.0"
        "Inserts an element before or after another element in a list.";
    "llen" Llen 2 ["readonly" "fast"] (1, 1, 1), "list" "1.0.0"
        "Returns the length of a list.";
    "lmove" Lmove 5 ["write" "denyoom"] (1, 2, 1), "list" "6.2.0"
        "Returns an element after popping it from one list and pushing it to another. Deletes the list if the last element was moved.";
    "lmpop" Lmpop -4 ["write"] (0, 0, 0), "list" "7.0.0"
        "Returns multiple elements from a list after removing them. Deletes the list if the last element was popped.";
    "lpop" Lpop -2 ["write" "fast"] (1, 1, 1), "list" "1.0.0"
        "Returns the first elements in a list after removing it. Deletes the list if the last element was popped.";
    "lpos" Lpos -3 ["readonly"] (1, 1, 1), "list" "6.0.6"
        "Returns the index of matching elements in a list.";
    "lpush" Lpush -3 ["write" "denyoom" "fast"] (1, 1, 1), "list" "1.0.0"
        "Prepends one or more elements to a list. Creates the key if it doesn't exist.";
    "lpushx" Lpushx -3 ["write" "denyoom" "fast"] (1, 1, 1), "list" "2.2.0"
        "Prepends one or more elements to a list only when the list exists.";
    "lrange" Lrange 4 ["readonly"] (1, 1, 1), "list" "1.0.0"
        "Returns a range of elements from a list.";
    "lrem" Lrem 4 ["write"] (1, 1, 1), "list" "1.0.0"
        "Removes elements from a list. Deletes the list if the last element was removed.";
    "lset" Lset 4 ["write" "denyoom"] (1, 1, 1), "list" "1.0.0"
        "Sets the value of an element in a list by its index.";
    "ltrim" Ltrim 4 ["write"] (1, 1, 1), "list" "1.0.0"
        "Removes elements from both ends a list. Deletes the list if all elements were trimmed.";
    "multi" Multi 1 ["noscript" "loading" "stale" "fast" "no_multi" "allow_busy"] (0, 0, 0), "transactions" "1.2.0"
        "Starts a transaction.";
    "object" Object -2 [] (0, 0, 0), "generic" "2.2.3"
        "A container for object introspection commands.";
    "persist" Persist 2 ["write" "fast"] (1, 1, 1), "generic" "2.2.0"
        "Removes the expiration time of a key.";
    "pexpire" Pexpire -3 ["write" "fast"] (1, 1, 1), "generic" "2.6.0"
        "Sets the expiration time of a key in milliseconds.";
    "pexpireat" Pexpireat -3 ["write" "fast"] (1, 1, 1), "generic" "2.6.0"
        "Sets the expiration time of a key to a Unix milliseconds timestamp.";
    "pexpiretime" Pexpiretime 2 ["readonly" "fast"] (1, 1, 1), "generic" "7.0.0"
        "Returns the expiration time of a key as a Unix milliseconds timestamp.";
    "ping" Ping -1 ["fast"] (0, 0, 0), "connection" "1.0.0"
        "Returns the server's liveliness response.";
    "psubscribe" Psubscribe -2 ["pubsub" "noscript" "loading" "stale"] (0, 0, 0), "pubsub" "2.0.0"
        "Listens for messages published to channels that match one or more patterns.";
    "pttl" Pttl 2 ["readonly" "fast"] (1, 1, 1), "generic" "2.6.0"
        "Returns the expiration time in milliseconds of a key.";
    "publish" Publish 3 ["pubsub" "loading" "stale" "fast" "may_replicate"] (0, 0, 0), "pubsub" "2.0.0"
        "Posts a message to a channel.";
    "pubsub" Pubsub -2 [] (0, 0, 0), "pubsub" "2.8.0"
        "A container for Pub/Sub commands.";
    "punsubscribe" Punsubscribe -1 ["pubsub" "noscript" "loading" "stale"] (0, 0, 0), "pubsub" "2.0.0"
        "Stops listening to messages published to channels that match one or more patterns.";
    "quit" Quit -1 ["allow_busy" "noscript" "loading" "stale" "fast" "no_auth"] (0, 0, 0), "connection" "1.0.0"
        "Closes the connection.";
    "rename" Rename 3 ["write"] (1, 2, 1), "generic" "1.0.0"
        "Renames a key and overwrites the destination.";
    "renamenx" Renamenx 3 ["write" "fast"] (1, 2, 1), "generic" "1.0.0"
        "Renames a key only when the target key name does not exist.";
    "reset" Reset 1 ["noscript" "loading" "stale" "fast" "no_auth" "allow_busy"] (0, 0, 0), "connection" "6.2.0"
        "Resets the connection.";
    "rpop" Rpop -2 ["write" "fast"] (1, 1, 1), "list" "1.0.0"
        "Returns and removes the last elements of a list. Deletes the list if the last element was popped.";
    "rpoplpush" Rpoplpush 3 ["write" "denyoom"] (1, 2, 1), "list" "1.2.0"
        "Returns the last element of a list after removing and pushing it to another list. Deletes the list if the last element was popped.";
    "rpush" Rpush -3 ["write" "denyoom" "fast"] (1, 1, 1), "list" "1.0.0"
        "Appends one or more elements to a list. Creates the key if it doesn't exist.";
    "rpushx" Rpushx -3 ["write" "denyoom" "fast"] (1, 1, 1), "list" "2.2.0"
        "Appends an element to a list only when the list exists.";
    "scan" Scan -2 ["readonly"] (0, 0, 0), "generic" "2.8.0"
        "Iterates over the key names in the database.";
    "select" Select 2 ["loading" "stale" "fast"] (0, 0, 0), "connection" "1.0.0"
        "Changes the selected database.";
    "subscribe" Subscribe -2 ["pubsub" "noscript" "loading" "stale"] (0, 0, 0), "pubsub" "2.0.0"
        "Listens for messages published to channels.";
    "time" Time 1 ["loading" "stale" "fast"] (0, 0, 0), "server" "2.6.0"
        "Returns the server time.";
    "touch" Touch -2 ["readonly" "fast"] (1, -1, 1), "generic" "3.2.1"
        "Returns the number of existing keys out of those specified.";
    "ttl" Ttl 2 ["readonly" "fast"] (1, 1, 1), "generic" "1.0.0"
        "Returns the expiration time in seconds of a key.";
    "type" Type 2 ["readonly" "fast"] (1, 1, 1), "generic" "1.0.0"
        "Determines the type of value stored at a key.";
    "unlink" Unlink -2 ["write" "fast"] (1, -1, 1), "generic" "4.0.0"
        "Asynchronously deletes one or more keys.";
    "unsubscribe" Unsubscribe -1 ["pubsub" "noscript" "loading" "stale"] (0, 0, 0), "pubsub" "2.0.0"
        "Stops listening to messages posted to channels.";
    "unwatch" Unwatch 1 ["noscript" "loading" "stale" "fast" "allow_busy"] (0, 0, 0), "transactions" "2.2.0"
        "Forgets about watched keys of a transaction.";
    "wait" Wait 3 ["blocking"] (0, 0, 0), "generic" "3.0.0"
        "Returns at once: what was answered is on disk, and there are no replicas.";
    "watch" Watch -2 ["noscript" "loading" "stale" "fast" "no_multi" "allow_busy"] (1, -1, 1), "transactions" "2.2.0"
        "Monitors changes to keys to determine the execution of a transaction.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_every_command_is_found() {
        assert!(TABLE.is_sorted_by(|a, b| a.name < b.name));
        for spec in TABLE {
            assert_eq!(find(spec.name.as_bytes()).unwrap().command, spec.command);
        }
        assert!(find(b"hset").is_none());
    }
}

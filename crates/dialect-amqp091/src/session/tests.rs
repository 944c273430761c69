//! The session against a scripted engine: what a client sends, what is asked of the engine, what the client gets.

//! Turns the definition of AMQP 0-9-1 into the text of `src/methods/*.rs`. Pure: JSON text in, file texts out.
//! Called by `codegen/main.rs`, which writes the files, and by `tests/generated.rs`, which compares them.

// A development tool over a checked-in file: if that is not what it should be, a panic says so best.
#![allow(clippy::indexing_slicing, reason = "reads a checked-in file")]

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::Value;

/// Where rustfmt breaks a line (`rustfmt.toml`); the output has to be what rustfmt would leave alone.
const LINE_WIDTH_MAX: usize = 110;

struct Field {
    wire_name: String,
    name: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Bit,
    Octet,
    Short,
    Long,
    LongLong,
    ShortStr,
    LongStr,
    Table,
}

struct Method {
    id: u64,
    wire_name: String,
    name: String,
    synchronous: bool,
    content: bool,
    fields: Vec<Field>,
}

struct Class {
    id: u64,
    module: String,
    name: String,
    methods: Vec<Method>,
}

/// File names and contents of `src/methods`.
pub(crate) fn generate(spec_json: &str) -> Vec<(String, String)> {
    let spec: Value = serde_json::from_str(spec_json).expect("the definition is JSON");
    let mut classes: Vec<Class> = array(&spec, "classes").iter().map(|c| read_class(&spec, c)).collect();
    classes.sort_by_key(|c| c.id);
    let mut files = vec![("mod.rs".to_owned(), methods_mod(&classes))];
    for class in &classes {
        files.push((format!("{}.rs", class.module), class_types(class)));
        files.push((format!("{}_wire.rs", class.module), class_wire(class)));
    }
    files
}

fn array<'a>(value: &'a Value, key: &str) -> &'a Vec<Value> {
    value[key].as_array().unwrap_or_else(|| panic!("{key} is a list"))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is a string"))
}

fn read_class(spec: &Value, class: &Value) -> Class {
    let name = text(class, "name");
    Class {
        id: class["id"].as_u64().expect("class id"),
        module: name.replace('-', "_"),
        name: camel(name),
        methods: array(class, "methods").iter().map(|m| read_method(spec, m)).collect(),
    }
}

fn read_method(spec: &Value, method: &Value) -> Method {
    let domains: BTreeMap<&str, &str> = array(spec, "domains")
        .iter()
        .map(|pair| (pair[0].as_str().expect("domain"), pair[1].as_str().expect("type")))
        .collect();
    let fields = array(method, "arguments").iter().map(|argument| {
        let wire_type = argument["type"].as_str().unwrap_or_else(|| domains[text(argument, "domain")]);
        let wire_name = text(argument, "name");
        Field { wire_name: wire_name.to_owned(), name: snake(wire_name), kind: kind(wire_type) }
    });
    let wire_name = text(method, "name");
    Method {
        id: method["id"].as_u64().expect("method id"),
        wire_name: wire_name.to_owned(),
        name: camel(wire_name),
        synchronous: method["synchronous"].as_bool().unwrap_or(false),
        content: method["content"].as_bool().unwrap_or(false),
        fields: fields.collect(),
    }
}

fn kind(wire_type: &str) -> Kind {
    match wire_type {
        "bit" => Kind::Bit,
        "octet" => Kind::Octet,
        "short" => Kind::Short,
        "long" => Kind::Long,
        "longlong" | "timestamp" => Kind::LongLong,
        "shortstr" => Kind::ShortStr,
        "longstr" => Kind::LongStr,
        "table" => Kind::Table,
        other => panic!("no mapping for type {other}"),
    }
}

impl Kind {
    fn rust_type(self) -> &'static str {
        match self {
            Self::Bit => "bool",
            Self::Octet => "u8",
            Self::Short => "u16",
            Self::Long => "u32",
            Self::LongLong => "u64",
            Self::ShortStr => "ShortStr",
            Self::LongStr => "Bytes",
            Self::Table => "Table",
        }
    }

    fn describe(self) -> &'static str {
        match self {
            Self::Bit => "flag",
            Self::Octet => "8 bits, unsigned",
            Self::Short => "16 bits, unsigned",
            Self::Long => "32 bits, unsigned",
            Self::LongLong => "64 bits, unsigned",
            Self::ShortStr => "short string",
            Self::LongStr => "long string",
            Self::Table => "table, not yet read",
        }
    }

    fn reader(self) -> &'static str {
        match self {
            Self::Bit | Self::Octet => "octet",
            Self::Short => "short",
            Self::Long => "long",
            Self::LongLong => "longlong",
            Self::ShortStr => "short_str",
            Self::LongStr => "long_str",
            Self::Table => "table",
        }
    }

    fn write(self, field: &str) -> String {
        match self {
            Self::Bit => unreachable!("flags are packed"),
            Self::Octet => format!("out.put_u8(self.{field});"),
            Self::Short => format!("out.put_u16(self.{field});"),
            Self::Long => format!("out.put_u32(self.{field});"),
            Self::LongLong => format!("out.put_u64(self.{field});"),
            Self::ShortStr => format!("self.{field}.as_short().put(out);"),
            Self::LongStr => format!("put_long_bytes(out, &self.{field});"),
            Self::Table => format!("put_long_bytes(out, self.{field}.as_bytes());"),
        }
    }
}

fn camel(name: &str) -> String {
    name.split('-')
        .map(|word| {
            let mut chars = word.chars();
            chars
                .next()
                .map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
        })
        .collect()
}

fn snake(name: &str) -> String {
    match name {
        "type" => "kind".to_owned(),
        "nowait" => "no_wait".to_owned(),
        other => other.replace('-', "_"),
    }
}

const HEADER: &str = "//! Generated from `spec/amqp-rabbitmq-0.9.1.json` by `codegen`; edit that, not this:\n\
                      //! `cargo run -p baton-dialect-amqp091 --example codegen`.\n";

fn methods_mod(classes: &[Class]) -> String {
    let mut out = String::from(
        "//! All methods of AMQP 0-9-1 with RabbitMQ's extensions, one module per class: plain data, its reading and its\n\
         //! writing. Not here: what a method does, and content (`content`). Called by `content`, `frame` and the session.\n//!\n",
    );
    out += HEADER;
    out += "\nuse bytes::BytesMut;\n\nuse crate::error::WireError;\nuse crate::frame::Payload;\nuse crate::wire::FieldReader;\n\n";
    let mut sorted: Vec<&Class> = classes.iter().collect();
    sorted.sort_by_key(|class| &class.module);
    for class in &sorted {
        let _ = writeln!(out, "pub mod {0};\nmod {0}_wire;", class.module);
    }
    out += "\n";
    for class in &sorted {
        let _ = writeln!(out, "pub use {}::{};", class.module, class.name);
    }
    out += METHOD_FIELDS;
    out += "/// Any method.\n#[derive(Clone, Debug, PartialEq, Eq)]\npub enum Method {\n";
    for class in classes {
        let _ = writeln!(out, "    /// Class `{}` ({}).\n    {2}({2}),", class.module, class.id, class.name);
    }
    out += "}\n\nimpl Method {\n";
    out += "    /// Reads the payload of a method frame: class, method and all fields.\n    ///\n    /// # Errors\n    \
            /// [`WireError`] for an unknown method, fields too short or too long, a name that is not UTF-8.\n";
    out += "    #[inline]\n    pub fn decode<'a>(payload: impl Into<Payload<'a>>) -> Result<Self, WireError> {\n        let payload = payload.into();\n";
    out += "        if payload.len() < 4 {\n            \
            return Err(WireError::FramePayload { what: \"method\", payload_bytes: payload.len() });\n        }\n";
    out += "        let mut fields = FieldReader::new(payload);\n        let class_id = fields.short()?;\n        \
            let method_id = fields.short()?;\n        let method = match class_id {\n";
    for class in classes {
        let _ = writeln!(
            out,
            "            {0} => Self::{1}({1}::decode(method_id, &mut fields)?),",
            class.id, class.name
        );
    }
    out += "            _ => return Err(WireError::UnknownMethod { class_id, method_id }),\n        };\n        \
            fields.finish()?;\n        Ok(method)\n    }\n\n";
    dispatch(&mut out, classes, "/// Class and method number.", "ids(&self) -> (u16, u16)", "ids()");
    dispatch(&mut out, classes, "/// Such as `basic.publish`.", "name(&self) -> &'static str", "name()");
    let doc = "/// Whether a content header and body frames follow.";
    dispatch(&mut out, classes, doc, "has_content(&self) -> bool", "has_content()");
    let doc = "/// Whether the sender waits for an answer (before `no-wait`, where the method has that).";
    dispatch(&mut out, classes, doc, "is_synchronous(&self) -> bool", "is_synchronous()");
    out += "    /// Appends the fields, without class and method number.\n";
    out += "    pub(crate) fn encode_fields(&self, out: &mut BytesMut) {\n        match self {\n";
    for class in classes {
        let _ = writeln!(out, "            Self::{}(method) => method.encode_fields(out),", class.name);
    }
    out += "        }\n    }\n}\n";
    out
}

const METHOD_FIELDS: &str = "
/// What can be written as the payload of a method frame: every method here, and borrowed forms of the hot ones
/// (`content::DeliverRef`).
pub trait MethodFields {
    /// Class number.
    const CLASS_ID: u16;
    /// Method number.
    const METHOD_ID: u16;

    /// Appends the fields, without class and method number.
    fn encode_fields(&self, out: &mut BytesMut);
}

";

fn dispatch(out: &mut String, classes: &[Class], doc: &str, signature: &str, call: &str) {
    let _ = writeln!(out, "    {doc}\n    #[must_use]\n    pub fn {signature} {{\n        match self {{");
    for class in classes {
        let _ = writeln!(out, "            Self::{}(method) => method.{call},", class.name);
    }
    *out += "        }\n    }\n\n";
}

fn class_types(class: &Class) -> String {
    let mut out = format!("//! Class `{}` ({}): its methods as plain data.\n//!\n", class.module, class.id);
    out += HEADER;
    let uses = |kind| class.methods.iter().any(|m| m.fields.iter().any(|f| f.kind == kind));
    out += if uses(Kind::LongStr) {
        "\nuse bytes::{Bytes, BytesMut};\n\n"
    } else {
        "\nuse bytes::BytesMut;\n\n"
    };
    out += "use crate::error::WireError;\nuse crate::methods::{Method, MethodFields};\n";
    if uses(Kind::ShortStr) {
        out += "use crate::short_str::ShortStr;\n";
    }
    if uses(Kind::Table) {
        out += "use crate::table::Table;\n";
    }
    out += "use crate::wire::FieldReader;\n\n";
    let _ = writeln!(out, "/// A method of class `{}`.", class.module);
    let _ = writeln!(out, "#[derive(Clone, Debug, PartialEq, Eq)]\npub enum {} {{", class.name);
    for method in &class.methods {
        let _ = writeln!(out, "    /// `{}.{}`.\n    {2}({2}),", class.module, method.wire_name, method.name);
    }
    out += "}\n";
    for method in &class.methods {
        method_struct(&mut out, class, method);
    }
    class_dispatch(&mut out, class);
    for method in &class.methods {
        let _ =
            writeln!(out, "\nimpl From<{0}> for Method {{\n    fn from(method: {0}) -> Self {{", method.name);
        let _ = writeln!(out, "        Self::{0}({0}::{1}(method))\n    }}\n}}", class.name, method.name);
    }
    out
}

fn method_struct(out: &mut String, class: &Class, method: &Method) {
    let mut notes = String::new();
    if method.synchronous {
        notes += "; the sender waits for an answer";
    }
    if method.content {
        notes += "; content follows";
    }
    let _ =
        writeln!(out, "\n/// `{}.{}` ({}, {}){notes}.", class.module, method.wire_name, class.id, method.id);
    if method.fields.is_empty() {
        let _ = writeln!(
            out,
            "#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]\npub struct {};",
            method.name
        );
        return;
    }
    let _ = writeln!(out, "#[derive(Clone, Debug, Default, PartialEq, Eq)]\npub struct {} {{", method.name);
    for field in &method.fields {
        let _ = writeln!(out, "    /// `{}`: {}.", field.wire_name, field.kind.describe());
        let _ = writeln!(out, "    pub {}: {},", field.name, field.kind.rust_type());
    }
    *out += "}\n";
}

fn class_dispatch(out: &mut String, class: &Class) {
    let _ = writeln!(out, "\nimpl {} {{", class.name);
    let unused = if class.methods.iter().all(|m| m.fields.is_empty()) { "_" } else { "" };
    let _ = write!(
        out,
        "    #[inline(always)]\n    pub(super) fn decode(method_id: u16, {unused}fields: &mut FieldReader<'_>)"
    );
    *out += " -> Result<Self, WireError> {\n";
    *out += "        Ok(match method_id {\n";
    for method in &class.methods {
        let call = if method.fields.is_empty() { String::new() } else { "::decode(fields)?".to_owned() };
        let _ = writeln!(out, "            {0} => Self::{2}({2}{1}),", method.id, call, method.name);
    }
    let _ = writeln!(
        out,
        "            _ => return Err(WireError::UnknownMethod {{ class_id: {}, method_id }}),",
        class.id
    );
    *out += "        })\n    }\n\n";
    *out += "    pub(super) fn encode_fields(&self, out: &mut BytesMut) {\n        match self {\n";
    for method in &class.methods {
        let _ = writeln!(out, "            Self::{}(method) => method.encode_fields(out),", method.name);
    }
    *out += "        }\n    }\n\n    pub(super) fn ids(&self) -> (u16, u16) {\n        match self {\n";
    for method in &class.methods {
        let _ = writeln!(out, "            Self::{}(_) => ({}, {}),", method.name, class.id, method.id);
    }
    *out += "        }\n    }\n\n    pub(super) fn name(&self) -> &'static str {\n        match self {\n";
    for method in &class.methods {
        let _ = writeln!(
            out,
            "            Self::{}(_) => \"{}.{}\",",
            method.name, class.module, method.wire_name
        );
    }
    *out += "        }\n    }\n\n";
    predicate(out, class, "has_content", |m| m.content);
    *out += "\n";
    predicate(out, class, "is_synchronous", |m| m.synchronous);
    *out += "}\n";
}

fn predicate(out: &mut String, class: &Class, name: &str, holds: fn(&Method) -> bool) {
    let arms: Vec<String> =
        class.methods.iter().filter(|m| holds(m)).map(|m| format!("Self::{}(_)", m.name)).collect();
    let _ = writeln!(out, "    pub(super) fn {name}(&self) -> bool {{");
    let line = format!("        matches!(self, {})", arms.join(" | "));
    if arms.is_empty() {
        *out += "        false\n";
    } else if line.len() <= LINE_WIDTH_MAX {
        *out += &line;
        *out += "\n";
    } else {
        let _ = writeln!(
            out,
            "        matches!(\n            self,\n            {}\n        )",
            arms.join("\n                | ")
        );
    }
    *out += "    }\n";
}

fn class_wire(class: &Class) -> String {
    let mut out =
        format!("//! Class `{}` ({}): reading and writing the fields.\n//!\n", class.module, class.id);
    out += HEADER;
    let with_fields: Vec<&Method> = class.methods.iter().filter(|m| !m.fields.is_empty()).collect();
    let body: String = class.methods.iter().map(|m| method_wire(class, m)).collect();
    let buf_mut = if body.contains("out.put_") { "{BufMut, BytesMut}" } else { "BytesMut" };
    let _ = writeln!(out, "\nuse bytes::{buf_mut};\n");
    if !with_fields.is_empty() {
        out += "use crate::error::WireError;\n";
    }
    out += "use crate::methods::MethodFields;\n";
    let mut names: Vec<&str> = class.methods.iter().map(|m| m.name.as_str()).collect();
    names.sort_unstable();
    out += &use_list(&format!("use crate::methods::{}::", class.module), &names);
    let mut helpers = Vec::new();
    for helper in ["FieldReader", "pack_bits", "put_long_bytes"] {
        if body.contains(helper) {
            helpers.push(helper);
        }
    }
    if !helpers.is_empty() {
        out += &use_list("use crate::wire::", &helpers);
    }
    out + &body
}

/// `use prefix{a, b};` broken as rustfmt does.
fn use_list(prefix: &str, names: &[&str]) -> String {
    if let [only] = names {
        return format!("{prefix}{only};\n");
    }
    let line = format!("{prefix}{{{}}};\n", names.join(", "));
    if line.len() <= LINE_WIDTH_MAX + 1 {
        return line;
    }
    let mut out = format!("{prefix}{{\n");
    let mut row = String::from("   ");
    for name in names {
        if row.len() + name.len() + 2 > LINE_WIDTH_MAX {
            let _ = writeln!(out, "{row}");
            row = String::from("   ");
        }
        let _ = write!(row, " {name},");
    }
    let _ = writeln!(out, "{row}\n}};");
    out
}

fn method_wire(class: &Class, method: &Method) -> String {
    let mut out = String::new();
    if !method.fields.is_empty() {
        let _ = writeln!(out, "\nimpl {} {{", method.name);
        out += "    #[inline]\n    pub(crate) fn decode(fields: &mut FieldReader<'_>) -> Result<Self, WireError> {\n";
        out += &decode_body(method);
        out += "    }\n}\n";
    }
    let _ = writeln!(out, "\nimpl MethodFields for {} {{", method.name);
    let _ =
        writeln!(out, "    const CLASS_ID: u16 = {};\n    const METHOD_ID: u16 = {};\n", class.id, method.id);
    if method.fields.is_empty() {
        out += "    fn encode_fields(&self, _out: &mut BytesMut) {}\n}\n";
        return out;
    }
    out += "    fn encode_fields(&self, out: &mut BytesMut) {\n";
    for run in method.fields.chunk_by(|a, b| a.kind == Kind::Bit && b.kind == Kind::Bit) {
        if run[0].kind == Kind::Bit {
            let bits: Vec<String> = run.iter().map(|f| format!("self.{}", f.name)).collect();
            let _ = writeln!(out, "        out.put_u8(pack_bits([{}]));", bits.join(", "));
        } else {
            let _ = writeln!(out, "        {}", run[0].kind.write(&run[0].name));
        }
    }
    out + "    }\n}\n"
}

fn decode_body(method: &Method) -> String {
    let mut out = String::new();
    let mut parts = Vec::new();
    for run in method.fields.chunk_by(|a, b| a.kind == Kind::Bit && b.kind == Kind::Bit) {
        if run[0].kind == Kind::Bit {
            out += "        let bits = fields.octet()?;\n";
            parts
                .extend(run.iter().enumerate().map(|(at, f)| format!("{}: bits & {} != 0", f.name, 1 << at)));
        } else {
            let _ = writeln!(out, "        let {} = fields.{}()?;", run[0].name, run[0].kind.reader());
            parts.push(run[0].name.clone());
        }
    }
    let line = format!("        Ok(Self {{ {} }})", parts.join(", "));
    if line.len() <= LINE_WIDTH_MAX {
        return out + &line + "\n";
    }
    let _ = writeln!(out, "        Ok(Self {{");
    for part in parts {
        let _ = writeln!(out, "            {part},");
    }
    out + "        })\n"
}

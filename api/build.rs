//! Generates messages and services from the proto files, without protoc.

use std::{env, fs, path::PathBuf};

type Outcome = Result<(), Box<dyn std::error::Error>>;

const PROTOS: [&str; 4] =
    ["weir/v1/event.proto", "weir/v1/read.proto", "weir/v1/stream.proto", "weir/v1/subscription.proto"];

fn main() -> Outcome {
    for proto in PROTOS {
        println!("cargo:rerun-if-changed=proto/{proto}");
    }
    println!("cargo:rerun-if-changed=build.rs");
    let set = PathBuf::from(env::var("OUT_DIR")?).join("weir_descriptor.bin");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files(PROTOS)?;
    fs::write(&set, compiler.encode_file_descriptor_set())?;
    connectrpc_build::Config::new()
        .files(&PROTOS)
        .descriptor_set(set)
        .emit_rerun_directives(false)
        .include_file("weir_proto.rs")
        .compile()?;
    Ok(())
}

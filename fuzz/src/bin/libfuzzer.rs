//! The targets under libFuzzer. `WEIR_FUZZ_TARGET` chooses one; the arguments
//! are libFuzzer's.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use weir_fuzz::Target;

static TARGET: OnceLock<&Target> = OnceLock::new();

fuzz_target!(|data: &[u8]| TARGET.get_or_init(chosen).run(data));

fn chosen() -> &'static Target {
    let name = std::env::var("WEIR_FUZZ_TARGET").expect("WEIR_FUZZ_TARGET names a target");
    weir_fuzz::find(&name).expect("it is one of those that `weir-fuzz list` names")
}

//! Writes the Kotlin and the Swift code for a built library; `cargo xtask kotlin` and `swift` call it.

fn main() {
    uniffi::uniffi_bindgen_main();
}

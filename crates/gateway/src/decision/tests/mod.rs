//! The decision endpoints as a proxy asks them, in process. Real proxies ask them in `tests/it/fronts.rs`.

mod answers;
mod asking;
mod inputs;
mod presets;
mod scene;
mod sign_in;

//! stub
/// w
#[derive(Clone, Debug)]
pub struct Window {
    /// t
    pub tokens: Vec<u32>,
    /// s
    pub scored: Vec<bool>,
}

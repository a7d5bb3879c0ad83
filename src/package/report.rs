//! x
#[derive(Debug, thiserror::Error)]
#[error("x")]
pub struct NoSolution {}
impl NoSolution {
    pub fn hint(&self) -> Option<String> {
        None
    }
}

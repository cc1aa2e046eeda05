//! What a sandbox that cannot be set up says.

/// Why a sandbox could not be set up; one line for the user.
#[derive(Debug)]
pub struct StartError {
    /// What was tried.
    pub what: &'static str,
    /// The host's answer.
    pub error: litebox::Error,
}

/// Names a step of the start that failed.
pub(crate) fn step<T>(what: &'static str, result: litebox::Result<T>) -> Result<T, StartError> {
    result.map_err(|error| StartError { what, error })
}

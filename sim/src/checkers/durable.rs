//! Effects never precede durability, and recovery invents nothing: the state that a restart finds is the one at the end of
//! the last batch that landed, or of the one that was on its way. (The world keeps both and compares; here is the verdict.)

use super::Checker;
use crate::fact::Fact;

#[derive(Debug)]
pub(super) struct Durable;

impl Checker for Durable {
    fn name(&self) -> &'static str {
        "durable"
    }

    fn see(&mut self, fact: &Fact<'_>) -> Result<(), String> {
        match fact {
            Fact::Back { known: Err(how), .. } => Err(format!(
                "recovery found a state that was at the end of no batch that may have been the last: {how}"
            )),
            _ => Ok(()),
        }
    }
}

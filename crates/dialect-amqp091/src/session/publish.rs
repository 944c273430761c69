//! Messages in: a publish becomes a neutral message in one buffer of its exact size, and a request. Refusals that the
//! engine cannot know of (expiration, user id, sizes) are decided here.

use baton_dialect::Output;
use baton_model::{Message, Name, Publish, Request};
use smallvec::SmallVec;

use super::channel::Mode;
use super::consume::REPLY_TO;
use super::envelope::{Source, Special, write_envelope};
use super::failure::Failure;
use super::{AmqpSession, token};
use crate::codes::ReplyCode;
use crate::content::Content;
use crate::methods::basic;
use crate::properties::Properties;

impl AmqpSession {
    /// A publish with all of its content.
    pub(super) fn publish(
        &mut self,
        number: u16,
        publish: &basic::Publish,
        content: Content,
        out: &mut Output,
    ) -> Result<(), Failure> {
        if publish.immediate {
            return Err(Failure::new(ReplyCode::NotImplemented, "immediate=true"));
        }
        let body_bytes = content.body.len();
        let raw = content.properties.clone();
        let properties = raw.view()?;
        let special = Special::find(properties.headers)?;
        self.check_user_id(&properties)?;
        let ttl_ms = expiration(&properties)?;
        let reply_address = self.reply_address(number, &properties)?;
        let source = Source {
            exchange: publish.exchange.as_bytes(),
            key: publish.routing_key.as_bytes(),
            properties: &properties,
            special: &special,
            reply_to: match &reply_address {
                Some(address) => Some(address.as_bytes()),
                None => properties.reply_to.map(|reply_to| reply_to.as_bytes()),
            },
            ttl_ms,
        };
        let message = self.message(&source, content)?;
        let mut more_keys: SmallVec<[Name; 2]> = SmallVec::new();
        for key in special.cc.iter().chain(&special.bcc) {
            more_keys.push(Name::from_utf8_lossy(key));
        }
        let channel = self.opened(number)?;
        channel.published += 1;
        let confirm = match &mut channel.mode {
            Mode::Confirm(confirms) => {
                confirms.published();
                true
            }
            Mode::Plain | Mode::Tx(_) => false,
        };
        let request = Request::Publish(Box::new(Publish {
            token: token::publish(number, channel.published),
            confirm,
            exchange: Name::from(publish.exchange.as_str()),
            key: Name::from(publish.routing_key.as_str()),
            more_keys,
            durable: properties.delivery_mode == Some(2),
            mandatory: publish.mandatory,
            priority: properties.priority,
            ttl_ms,
            delay_ms: special.delay_ms,
            group_key: None,
            dedup_id: None,
            message,
        }));
        if let Mode::Tx(transaction) = &mut channel.mode {
            return transaction.publish(request, body_bytes as u64);
        }
        // Completions may wait for the end of the burst: that a message counts as done later does no harm.
        self.settling.flush_unless_complete(out);
        out.requests.push(request);
        Ok(())
    }

    /// Envelope and body in one buffer of their exact size. The assembler has seen to the body's, the frame's limit to the headers'.
    fn message(&mut self, source: &Source<'_, '_>, content: Content) -> Result<Message, Failure> {
        self.scratch.clear();
        write_envelope(&mut self.scratch, source)?;
        let envelope_bytes = u32::try_from(self.scratch.len()).unwrap_or(u32::MAX);
        Ok(Message::new(content.into_message_content(&self.scratch), envelope_bytes))
    }

    fn check_user_id(&self, properties: &Properties<'_>) -> Result<(), Failure> {
        match properties.user_id {
            Some(user) if user.as_bytes() != self.client.user.as_bytes() => {
                let claimed = String::from_utf8_lossy(user.as_bytes());
                Err(Failure::precondition(format!(
                    "user_id property set to '{claimed}' but authenticated user was '{}'",
                    self.client.user
                )))
            }
            _ => Ok(()),
        }
    }

    /// The address that stands for the channel's own reply consumer, if the message asks for replies there.
    fn reply_address(&mut self, number: u16, properties: &Properties<'_>) -> Result<Option<Name>, Failure> {
        if properties.reply_to.is_none_or(|reply_to| reply_to.as_bytes() != REPLY_TO.as_bytes()) {
            return Ok(None);
        }
        match &self.opened(number)?.replies {
            Some((_, address)) => Ok(Some(address.clone())),
            None => Err(Failure::precondition("fast reply consumer does not exist")),
        }
    }
}

/// Milliseconds to live, from decimal digits.
fn expiration(properties: &Properties<'_>) -> Result<Option<u64>, Failure> {
    let Some(expiration) = properties.expiration else { return Ok(None) };
    let bytes = expiration.as_bytes();
    let digits = !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
    match expiration.as_str().filter(|_| digits).and_then(|text| text.parse().ok()) {
        Some(ttl_ms) => Ok(Some(ttl_ms)),
        None => {
            let text = String::from_utf8_lossy(bytes);
            let text = format!("invalid expiration '{text}': it must be milliseconds in decimal digits");
            Err(Failure::precondition(text))
        }
    }
}

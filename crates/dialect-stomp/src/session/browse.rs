//! Browsers: a subscription with `browser:true` shows what is in a queue and takes nothing, as ActiveMQ has it. After the
//! last message comes one with the header `browser:end`.

use std::sync::Arc;

use baton_dialect::Output;
use baton_model::event::Browsed;
use baton_model::filter::Filter;
use baton_model::request::{InspectOp, MessageState};
use baton_model::{Bytes, ConsumerId, Name, Refusal, Reply, Request, Seq, Token};

use super::deliver::{put_body, put_message, put_message_id};
use super::destination::put_address;
use super::failure::Failure;
use super::steps::{Op, Receipt};
use super::subscribe::AckMode;
use super::{StompSession, limits};
use crate::write::FrameWriter;

/// What a browser reads.
#[derive(Debug)]
pub(super) struct Browser {
    queue: Name,
    selector: Option<Arc<Filter>>,
}

impl StompSession {
    pub(super) fn browse(
        &mut self,
        (queue, selector): (Name, Option<Arc<Filter>>),
        id: Box<[u8]>,
        named: bool,
        receipt: Option<Receipt>,
        out: &mut Output,
    ) -> Result<(), Failure> {
        let consumer = self.add_subscription(id, named, AckMode::Auto);
        if let Some(subscription) = self.subscriptions.get_mut(&consumer) {
            subscription.browser = Some(Browser { queue: queue.clone(), selector });
        }
        // Its receipt comes with the first message or before: it says that browsing has begun.
        self.finish(receipt, out);
        let token = self.steps.ask(None, Op::Browse { consumer });
        self.next_page(token, queue, Seq(0), out);
        Ok(())
    }

    fn next_page(&mut self, token: Token, queue: Name, from: Seq, out: &mut Output) {
        let op = InspectOp::Browse {
            queue,
            from,
            count_max: limits::BROWSE_PAGE,
            states: vec![MessageState::Ready],
            headers: Bytes::new(),
        };
        self.submit(Request::Inspect { token, op: Box::new(op) }, out);
    }

    /// A page has come. Whether another one is waited for.
    pub(super) fn browsed(
        &mut self,
        token: Token,
        consumer: ConsumerId,
        result: Result<Reply, Refusal>,
        out: &mut Output,
    ) -> bool {
        let Some(subscription) = self.subscriptions.get(&consumer) else { return false };
        let Some(browser) = &subscription.browser else { return false };
        let (queue, selector) = (browser.queue.clone(), browser.selector.clone());
        let id = subscription.named.then(|| subscription.id.clone());
        let (messages, next) = match result {
            Ok(Reply::Browsed { messages, next }) => (messages, next),
            Ok(_) => (Vec::new(), None),
            Err(refusal) => {
                self.fail(Failure::from(&refusal), None, out);
                return false;
            }
        };
        let wanted =
            |one: &&Browsed| selector.as_ref().is_none_or(|filter| filter.matches(one.message.envelope()));
        for message in messages.iter().filter(wanted) {
            self.show(id.as_deref(), message, out);
        }
        if let Some(next) = next {
            if let Some(op) = self.steps.op(token) {
                *op = Op::Browse { consumer };
            }
            self.next_page(token, queue, next, out);
            return true;
        }
        let mut writer = FrameWriter::new(&mut out.wire, self.version, "MESSAGE");
        if let Some(id) = &id {
            writer.raw("subscription", id);
        }
        writer.header(b"message-id", b"ID:baton-end").raw("browser", b"end");
        writer.with("destination", |out| put_address(out, b"", queue.as_bytes()));
        writer.body(b"");
        false
    }

    fn show(&self, id: Option<&[u8]>, browsed: &Browsed, out: &mut Output) {
        let mut writer = FrameWriter::new(&mut out.wire, self.version, "MESSAGE");
        if let Some(id) = id {
            writer.raw("subscription", id);
        }
        put_message_id(&mut writer, browsed.id);
        put_message(&mut writer, &browsed.message, browsed.overlay.as_deref());
        put_body(writer, &browsed.message, &mut out.attached);
    }
}

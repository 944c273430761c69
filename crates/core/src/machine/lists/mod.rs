//! Queues used as lists ([`baton_model::list`]): the entry points, and what all operations share.
//!
//! ```text
//! push.rs   elements come in at an end      pop.rs    elements are taken from an end, or wait for some
//! read.rs   by index, range, value          edit.rs   replaced, inserted, removed
//! places.rs where an element is             keys.rs   names: delete, rename, expire, list
//! moves.rs  from one list to another        pass.rs   straight from a push to who waits
//! ```
//!
//! An element is a ready message. The list's left is the queue's front or its back, as its policy says
//! ([`baton_model::policy::ListPolicy::front`]); everything below `places.rs` counts from the front.

mod edit;
mod keys;
mod moves;
mod pass;
mod places;
mod pop;
mod push;
mod read;
pub(super) mod waiting;

use baton_model::limits::GROUP_REQUESTS_MAX;
use baton_model::list::{ListGroup, ListOp, Listed, Side};
use baton_model::policy::KeyMode;
use baton_model::{ConnectionId, LinkId, Name, QueueId, Refusal, RefusalCode, Reply, Request, Time};

use super::Machine;
use crate::context::Context;
use crate::queue::Queue;
use crate::record::Record;

/// Who asks, and how.
#[derive(Clone, Copy)]
pub(super) struct Asker {
    pub(super) connection: ConnectionId,
    pub(super) link: LinkId,
    /// One of several operations: nobody is served between them.
    pub(super) grouped: bool,
}

/// An end of a queue, as deliveries see it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Front,
    Back,
}

impl Machine {
    /// An operation or a group of them, behind what the connection asked for earlier.
    pub(super) fn list(
        &mut self,
        now: Time,
        connection: ConnectionId,
        request: Request,
        cx: &mut Context<'_>,
    ) {
        if self.waits_in_line(connection) {
            return self.line_up(connection, request, cx);
        }
        self.list_now(now, connection, request, cx);
        self.serve_lists(now, cx);
    }

    /// Does what has come to its turn.
    fn list_now(&mut self, now: Time, connection: ConnectionId, request: Request, cx: &mut Context<'_>) {
        match request {
            Request::List(request) if request.wait_ms.is_some() => {
                let asker = Asker { connection, link: request.link, grouped: false };
                self.list_or_wait(now, asker, request, cx);
            }
            Request::List(request) => {
                let asker = Asker { connection, link: request.link, grouped: false };
                let (result, needs) = self.list_step(now, asker, request.op, cx);
                super::reply(cx, connection, request.token, needs, result.map(Reply::Listed));
            }
            Request::ListGroup(group) => self.list_group(now, connection, *group, cx),
            _ => {}
        }
    }

    fn list_group(&mut self, now: Time, connection: ConnectionId, group: ListGroup, cx: &mut Context<'_>) {
        let token = group.token;
        if group.ops.len() > GROUP_REQUESTS_MAX {
            let text = format!("a transaction has at most {GROUP_REQUESTS_MAX} commands; commit more often");
            let refusal = Refusal::new(RefusalCode::Invalid, text);
            return super::reply(cx, connection, token, None, Err(refusal));
        }
        let asker = Asker { connection, link: group.link, grouped: true };
        let changed = |(name, version): &(Name, _)| self.list_version(asker, name) != *version;
        if group.unless_changed.iter().any(changed) {
            return super::reply(cx, connection, token, None, Ok(Reply::Listed(Listed::Changed)));
        }
        let mut needs = None;
        let mut answers = Vec::with_capacity(group.ops.len());
        for op in group.ops {
            let (answer, need) = self.list_step(now, asker, op, cx);
            answers.push(answer);
            needs = needs.max(need);
        }
        super::reply(cx, connection, token, needs, Ok(Reply::Listed(Listed::All(answers))));
    }

    /// One operation, and what must be durable before its answer leaves.
    fn list_step(
        &mut self,
        now: Time,
        asker: Asker,
        op: ListOp,
        cx: &mut Context<'_>,
    ) -> (Result<Listed, Refusal>, Option<u64>) {
        self.with_needs(|machine, needs| machine.list_op(now, asker, op, needs, cx))
    }

    /// What `act` comes to, and what must be durable before that is told: what it says, and what it wrote.
    fn with_needs<T>(&mut self, act: impl FnOnce(&mut Self, &mut Option<u64>) -> T) -> (T, Option<u64>) {
        let before = self.last_end;
        let mut needs = None;
        let result = act(self, &mut needs);
        let written = self.last_end.filter(|_| self.last_end != before);
        (result, needs.max(written))
    }

    /// `needs`: of what is only shown or passed on; what is written counts anyway.
    fn list_op(
        &mut self,
        now: Time,
        asker: Asker,
        op: ListOp,
        needs: &mut Option<u64>,
        cx: &mut Context<'_>,
    ) -> Result<Listed, Refusal> {
        match op {
            ListOp::Push { queue, side, messages, create } => {
                self.list_push(now, asker, &queue, side, messages, create, needs, cx)
            }
            ListOp::Pop { queues, side, count_max } => {
                self.list_pop(now, asker, &queues, side, count_max, needs, cx)
            }
            ListOp::Move { from, to, take, put } => {
                self.list_move(now, asker, (&from, take), (&to, put), needs, cx)
            }
            ListOp::Length { queue } => Ok(Listed::Count(match self.find_list(now, asker, &queue, cx)? {
                Some(id) => self.length(id),
                None => 0,
            })),
            ListOp::Range { queue, first, last } => {
                self.list_range(now, asker, &queue, (first, last), needs, cx)
            }
            ListOp::Index { queue, index } => self.list_index(now, asker, &queue, index, needs, cx),
            ListOp::Set { queue, index, message } => self.list_set(now, asker, &queue, index, message, cx),
            ListOp::Insert { queue, pivot, side, message } => {
                self.list_insert(now, asker, &queue, (&pivot, side), message, cx)
            }
            ListOp::Remove { queue, value, count } => self.list_remove(now, asker, &queue, &value, count, cx),
            ListOp::Trim { queue, first, last } => self.list_trim(now, asker, &queue, (first, last), cx),
            ListOp::Find { queue, value, rank, count_max, examine_max } => {
                self.list_find(now, asker, &queue, &value, rank, (count_max, examine_max), cx)
            }
            ListOp::Delete { queues } => self.list_delete(now, asker, &queues, cx),
            ListOp::Exist { queues } => self.list_exist(now, asker, &queues, cx),
            ListOp::Rename { from, to, if_absent } => self.list_rename(now, asker, &from, &to, if_absent, cx),
            ListOp::Expire { queue, at, condition } => {
                self.list_expire(now, asker, &queue, at, condition, cx)
            }
            ListOp::Expiry { queue } => Ok(match self.find_list(now, asker, &queue, cx)? {
                Some(id) => Listed::Expires(self.state.queue(id).and_then(|q| q.policy.list.expires_at)),
                None => Listed::Absent,
            }),
            ListOp::Names { after, examine_max } => Ok(self.list_names(asker, after.as_ref(), examine_max)),
            ListOp::CountAll => Ok(Listed::Count(self.all_lists(asker).len() as u64)),
            ListOp::DeleteAll => {
                let all = self.all_lists(asker);
                all.iter().for_each(|id| self.remove_elements(*id, crate::record::Removal::Deleted, now, cx));
                Ok(Listed::Count(all.len() as u64))
            }
            ListOp::Versions { queues } => {
                let versions = queues.iter().map(|name| self.list_version(asker, name));
                Ok(Listed::Versions(versions.collect()))
            }
            ListOp::Send(publish) => self.list_send(now, asker, *publish, cx),
        }
    }

    /// Serves those that wait for elements which the last operation brought, before anybody else can take them; and goes on
    /// with what those asked for behind that.
    pub(super) fn serve_lists(&mut self, now: Time, cx: &mut Context<'_>) {
        loop {
            for queue in std::mem::take(&mut self.lists_filled) {
                self.dispatch_queue(now, queue, cx);
                self.refresh_timer(queue);
            }
            if self.lists_filled.is_empty() && !self.resume_list(now, cx) {
                return;
            }
        }
    }

    /// A list by its name, if it has elements.
    ///
    /// # Errors
    /// The queue belongs to another connection.
    fn find_list(
        &mut self,
        now: Time,
        asker: Asker,
        name: &Name,
        cx: &mut Context<'_>,
    ) -> Result<Option<QueueId>, Refusal> {
        let Some(id) = self.find_any(asker, name)? else { return Ok(None) };
        self.settle_list(now, asker, id, cx);
        Ok(Some(id).filter(|id| self.length(*id) > 0))
    }

    /// A queue by its name, with elements or without.
    fn find_any(&self, asker: Asker, name: &Name) -> Result<Option<QueueId>, Refusal> {
        match self.find_queue(asker.connection, name) {
            Ok(id) => Ok(Some(id)),
            Err(refusal) if refusal.code == RefusalCode::QueueNotFound => Ok(None),
            Err(refusal) => Err(refusal),
        }
    }

    /// Before a queue is looked at: what is for those that stand in its line leaves, and what has expired goes.
    fn settle_list(&mut self, now: Time, asker: Asker, id: QueueId, cx: &mut Context<'_>) {
        let Some(queue) = self.state.queue_mut(id) else { return };
        queue.serve.used(now);
        let expired = queue.policy.list.expires_at.is_some_and(|at| at <= now);
        if expired {
            self.expire_list(now, id, cx);
        } else if queue.serve.dirty && !queue.serve.nobody_waits() && !asker.grouped {
            self.dispatch_queue(now, id, cx);
        }
    }

    /// How many elements a list has.
    fn length(&self, id: QueueId) -> u64 {
        self.state.queue(id).map_or(0, |queue| queue.index.counts.ready)
    }

    /// Which end of the queue a side of the list is.
    fn end(&self, id: QueueId, side: Side) -> End {
        let front = self.state.queue(id).and_then(|queue| queue.policy.list.front).unwrap_or(Side::Left);
        if front == side { End::Front } else { End::Back }
    }

    /// An end of the queue is used for the first time: from now on it is clear which is which.
    fn decide_front(&mut self, now: Time, id: QueueId, front: Side, cx: &mut Context<'_>) {
        let undecided = |queue: &&Queue| queue.policy.list.front.is_none();
        if let Some(queue) = self.state.queue(id).filter(undecided) {
            let mut policy = Box::new(queue.policy.clone());
            policy.list.front = Some(front);
            self.commit(Record::QueueChanged { queue: id, policy, at: now }, cx);
        }
    }

    /// Positions only mean something where one order holds for all.
    fn positional(&self, id: QueueId) -> Result<(), Refusal> {
        match self.state.queue(id) {
            Some(queue) if !plain(queue) => Err(Refusal::new(
                RefusalCode::Unsupported,
                format!(
                    "queue '{}' orders its messages by keys or priorities: only sending and taking the next ones works here",
                    queue.name
                ),
            )),
            _ => Ok(()),
        }
    }
}

/// Whether all messages of a queue stand in one line.
fn plain(queue: &Queue) -> bool {
    queue.policy.keys.mode == KeyMode::Off && queue.policy.priority_max == 0
}

/// The one refusal of operations that need a list and find none.
fn no_list(name: &Name) -> Refusal {
    Refusal::new(RefusalCode::QueueNotFound, format!("no list '{name}'"))
}

/// An element is in the journal and cannot be read at the moment.
fn unreadable(name: &Name) -> Refusal {
    Refusal::new(
        RefusalCode::Unavailable,
        format!("an element of '{name}' cannot be read back from disk at the moment; try again"),
    )
}

//! Those that wait for elements of lists: in the lines of the queues they wait for, behind whoever came before them, or by
//! name where there is no queue yet.

use baton_model::list::{ListOp, ListRequest, Listed};
use baton_model::{ConnectionId, Name, QueueId, Refusal, Reply, Time, Token};
use smallvec::SmallVec;

use super::super::Machine;
use super::Asker;
use super::pop::Taken;
use crate::clients::WaitingList;
use crate::context::Context;
use crate::queue::serve::Taker;

impl Machine {
    /// Does it at once if there is something, else waits.
    pub(super) fn list_or_wait(
        &mut self,
        now: Time,
        asker: Asker,
        request: ListRequest,
        cx: &mut Context<'_>,
    ) {
        let ListRequest { token, link, op, wait_until } = request;
        let until = wait_until.unwrap_or(now);
        let (result, needs) = self.list_step(now, asker, op.clone(), cx);
        let waits = matches!(result, Ok(Listed::Absent)) && until > now;
        // What cannot be read yet is waited for, however long: it is there.
        let unreadable =
            matches!(&result, Err(refusal) if refusal.code == baton_model::RefusalCode::Unavailable);
        if !waits && !unreadable {
            return super::super::reply(cx, asker.connection, token, needs, result.map(Reply::Listed));
        }
        let names: SmallVec<[Name; 1]> = match &op {
            ListOp::Pop { queues, .. } => queues.clone(),
            ListOp::Move { from, .. } => SmallVec::from_buf([from.clone()]),
            _ => return super::super::reply(cx, asker.connection, token, needs, result.map(Reply::Listed)),
        };
        let number = self.clients.next_fetch();
        let namespace = self.namespace(asker.connection);
        let mut waiting = WaitingList {
            connection: asker.connection,
            token,
            link,
            op,
            until,
            namespace,
            turns: SmallVec::new(),
            absent: SmallVec::new(),
        };
        for name in names {
            if let Ok(Some(id)) = self.find_any(asker, &name) {
                if waiting.turns.iter().all(|(queue, _)| *queue != id)
                    && let Some(queue) = self.state.queue_mut(id)
                {
                    waiting.turns.push((id, queue.serve.stand(0, Taker::List(number))));
                }
                self.touch(id);
            } else if !waiting.absent.contains(&name) {
                waiting.absent.push(name);
            }
        }
        self.clients.add_waiting_list(number, waiting);
    }

    /// A queue was made: those that waited for one of its name stand in its line, in the order they came.
    pub(in super::super) fn queue_appeared(&mut self, id: QueueId) {
        let Some(queue) = self.state.queue(id) else { return };
        let (namespace, name) = (queue.namespace.clone(), queue.name.clone());
        for number in self.clients.list_appeared(&namespace, &name) {
            let Some(queue) = self.state.queue_mut(id) else { return };
            let turn = queue.serve.stand(0, Taker::List(number));
            if let Some(waiting) = self.clients.waiting_lists.get_mut(&number) {
                waiting.absent.retain(|absent| *absent != name);
                waiting.turns.push((id, turn));
            }
        }
        self.filled(id);
    }

    /// A queue goes: those that wait for elements of it wait for another of its name.
    pub(in super::super) fn queue_vanishes(&mut self, id: QueueId) {
        let Some(queue) = self.state.queue(id) else { return };
        let name = queue.name.clone();
        let waiting: Vec<u64> = queue.serve.lists().collect();
        for number in waiting {
            self.clients.list_vanished(number, id, &name);
        }
    }

    /// Serves one that waits in a queue's line, if it can. False: it stays.
    pub(in super::super) fn serve_list(
        &mut self,
        now: Time,
        id: QueueId,
        number: u64,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(waiting) = self.clients.waiting_lists.get(&number) else {
            return false;
        };
        let (connection, link, op) = (waiting.connection, waiting.link, waiting.op.clone());
        let asker = Asker { connection, link, grouped: true };
        let before = self.last_end;
        let mut needs = None;
        let taken = match &op {
            ListOp::Pop { side, count_max, .. } => {
                self.take_elements(now, asker, id, *side, *count_max, &mut needs, cx)
            }
            ListOp::Move { from, to, take, put } => {
                self.move_element(now, asker, (id, (from, *take)), (to, *put), &mut needs, cx)
            }
            _ => Ok(Taken::None),
        };
        let result = match taken {
            Ok(Taken::None | Taken::NotYet) => return false,
            Ok(Taken::Some(popped)) => Ok(answer(&op, popped)),
            Err(refusal) => Err(refusal),
        };
        let needs = needs.max(self.last_end.filter(|_| self.last_end != before));
        self.end_list_wait(number, result, needs, cx);
        true
    }

    /// One that waits is answered, and waits no more.
    fn end_list_wait(
        &mut self,
        number: u64,
        result: Result<Listed, Refusal>,
        needs: Option<u64>,
        cx: &mut Context<'_>,
    ) {
        if let Some((connection, token)) = self.forget_list_wait(number) {
            super::super::reply(cx, connection, token, needs, result.map(Reply::Listed));
        }
    }

    /// One that waits does so no more.
    pub(in super::super) fn forget_list_wait(&mut self, number: u64) -> Option<(ConnectionId, Token)> {
        let waiting = self.clients.remove_waiting_list(number)?;
        for (queue, turn) in waiting.turns {
            if let Some(queue) = self.state.queue_mut(queue) {
                queue.serve.leave(turn);
            }
        }
        Some((waiting.connection, waiting.token))
    }

    /// Those that have waited long enough are answered with nothing.
    pub(in super::super) fn end_due_list_waits(&mut self, now: Time, cx: &mut Context<'_>) {
        while let Some(number) = self.clients.list_wait_due(now) {
            self.end_list_wait(number, Ok(Listed::Absent), None, cx);
        }
    }

    /// A connection gives up one of its waits: it is answered with nothing.
    pub(in super::super) fn cancel_list_wait(
        &mut self,
        connection: ConnectionId,
        token: Token,
        cx: &mut Context<'_>,
    ) {
        if let Some(number) = self.clients.list_wait_of(connection, token) {
            self.end_list_wait(number, Ok(Listed::Absent), None, cx);
        }
    }
}

fn answer(op: &ListOp, popped: baton_model::list::Popped) -> Listed {
    match op {
        ListOp::Move { .. } => popped.elements.into_iter().next().map_or(Listed::Absent, Listed::Element),
        _ => Listed::Popped(Box::new(popped)),
    }
}
